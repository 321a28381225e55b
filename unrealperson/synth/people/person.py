"""A synthetic person: a pure function of (seed, version, number)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from unrealperson.config import SynthConfig
from unrealperson.synth.people import arms, cloth, garments, groups, photographs, riding
from unrealperson.synth.people import body as bodies
from unrealperson.synth.people import gait as gaits
from unrealperson.synth.people import textures as looks
from unrealperson.synth.people.accessories import (
    activity_of,
    odds_of,
    paint_items,
)
from unrealperson.synth.people.detail import Level, make_levels
from unrealperson.synth.people.identity import Identity, random_identity
from unrealperson.synth.people.rotations import frame
from unrealperson.synth.people.wearables import wear

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's order."""
ATTACHMENTS = (
    "hand_left", "hand_right", "shoulder_left", "shoulder_right", "hip_left", "hip_right", "back", "chest", "neck",
    "head", "face",
)  # fmt: skip
"""Places where things are worn or held."""
_LIMBS = ("upperarm", "lowerarm", "hand", "thigh", "calf", "foot")
_SOLE_M, _SOLE_VERTICES = 0.03, 400
# Bone, and place on the neutral base mesh whose nearest point of the skin is meant.
_PLACES = {
    "shoulder_left": ("clavicle_l", (0.0, 0.105, 0.58)),
    "shoulder_right": ("clavicle_r", (0.0, -0.105, 0.58)),
    "hip_left": ("pelvis", (0.01, 0.2, 0.06)),
    "hip_right": ("pelvis", (0.01, -0.2, 0.06)),
    "back": ("spine_03", (-0.2, 0.0, 0.42)),
    "chest": ("spine_03", (0.2, 0.0, 0.42)),
    "neck": ("neck_01", (0.1, 0.0, 0.57)),
    "head": ("head", (0.02, 0.0, 0.95)),
    "face": ("head", (0.2, 0.0, 0.735)),
}


@dataclass(frozen=True)
class Person:
    """One dressed, textured, rigged person.

    Attributes:
        seed: seed of the data set.
        version: model version Y.
        number: person P.
        positions: [V, 3] float32 metres at rest, X forward, Y left, Z up, soles at z = 0.
        normals: [V, 3] float32, smooth across texture seams.
        uv: [V, 2] float32 in 0 ... 1, v up.
        faces: [T, 3] uint32, counter-clockwise seen from outside.
        slots: [T] uint8 index into `sheets.SLOTS`: what each triangle belongs to; a vertex belongs to one slot.
        levels: levels of detail, the full mesh first; each uses the first so many vertices.
        bone_index: [V, 4] uint8.
        bone_weight: [V, 4] float32, rows sum to one.
        texture: [S, S, 3] uint8 sRGB, row 0 on top.
        height_m: barefoot height.
        speed_mps: preferred walking speed.
        stride_m: metres per whole gait cycle at which the feet do not slide.
        attributes: what is worn and what it looks like, in words and numbers.
        skeleton: the rig at rest.
        gait: habits of walking and standing.
        landmarks: [17, 3] float32 rest positions of the COCO keypoints.
        landmark_bone: [17] uint8 bone that carries each keypoint.
        soles: [S] int64 vertices that may touch the ground.
        attached: [11, 3, 4] float32 rest axes and place of each of `ATTACHMENTS`.
        attached_bone: [11] uint8 bone that carries each of them.
        ride: what they ride; None on foot. A rider's vehicle is part of the mesh, its moving parts have bones of
            their own, and `stride_m` belongs to one turn of the crank.
    """

    seed: int
    version: int
    number: int
    positions: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    slots: np.ndarray
    levels: tuple[Level, ...]
    bone_index: np.ndarray
    bone_weight: np.ndarray
    texture: np.ndarray
    height_m: float
    speed_mps: float
    stride_m: float
    attributes: dict[str, str | float]
    skeleton: gaits.Skeleton
    gait: gaits.Gait
    landmarks: np.ndarray
    landmark_bone: np.ndarray
    soles: np.ndarray
    attached: np.ndarray
    attached_bone: np.ndarray
    ride: riding.Ride | None = None

    def bones(self, phase: float, *, moving: float = 1.0, look_deg: float = 0.0) -> np.ndarray:
        """Pose at one instant, with the lower sole, or the wheels, on the ground.

        Args:
            phase: cycles; a whole number is a left heel strike.
            moving: 0 stands, 1 walks or rides, in between blends.
            look_deg: how far the head is turned to the left.

        Returns:
            [B, 3, 4] float32; each maps rest positions to posed positions in the local frame.
        """
        if self.ride is not None:
            matrices = riding.pose(self, self.ride, phase, moving, look_deg)
        else:
            matrices = gaits.pose(self.skeleton, self.gait, phase, moving, look_deg)
        points = np.concatenate([self.positions[self.soles], np.ones((len(self.soles), 1), np.float32)], 1)
        heights = np.einsum("nkj,nj->nk", matrices[self.bone_index[self.soles], 2], points)
        matrices[:, 2, 3] -= (heights * self.bone_weight[self.soles]).sum(1).min()
        return matrices

    def keypoints(self, bones: np.ndarray) -> np.ndarray:
        """COCO keypoints of a pose, in the order of `KEYPOINTS`.

        Args:
            bones: [B, 3, 4] float32 from `bones`.

        Returns:
            [17, 3] float32 metres in the local frame.
        """
        if bones.shape != (len(self.skeleton.names), 3, 4):
            raise ValueError(
                f"bones must be [{len(self.skeleton.names)}, 3, 4] from Person.bones, got {list(bones.shape)}"
            )
        carried = bones[self.landmark_bone]
        return np.einsum("nij,nj->ni", carried[:, :, :3], self.landmarks) + carried[:, :, 3]

    def attachment(self, name: str, bones: np.ndarray) -> np.ndarray:
        """Where something worn or held belongs in a pose.

        A hand's place is the middle of what its fist holds; its axes point from wrist to knuckles, from the little
        finger to the index finger (along a handle), and square to both. Elsewhere the place lies on the bare skin and
        the axes are forward, left and up of the upright body, carried by the bone.

        Args:
            name: out of `ATTACHMENTS`.
            bones: [B, 3, 4] float32 from `bones`.

        Returns:
            [3, 4] float32: three axes as columns, then the place in metres, in the local frame.

        Raises:
            ValueError: no such name.
        """
        if name not in ATTACHMENTS:
            raise ValueError(f"name must be one of {', '.join(ATTACHMENTS)}, got {name!r}")
        row = ATTACHMENTS.index(name)
        carried = bones[self.attached_bone[row]]
        placed = carried[:, :3] @ self.attached[row]
        placed[:, 3] += carried[:, 3]
        return placed


def make_person(
    seed: int,
    version: int,
    number: int,
    *,
    body: bodies.Preset = "massproduce",
    colors: cloth.Colors = "wardrobe",
    clothes: Path | None = None,
    accessories: str = "published",
    textures: photographs.Textures = "generated",
    pictures: Path | None = None,
    picture_share: float = 1.0,
    planned: Sequence[str] = (),
) -> Person:
    """Makes a person; the same arguments give the same bytes in every process.

    Args:
        seed: seed of the data set, 0 or more.
        version: model version Y; 1 is basic people without accessories.
        number: person P, 0 or more.
        body: distribution of body shapes.
        colors: how the colours of clothes are drawn: as people wear them, (almost) all black, or evenly.
        clothes: folder of MakeHuman `.mhclo` garments that half of the people wear.
        accessories: from version 2 on, how often things are worn and held: as for `accessories.odds_of`.
        textures: where cloth comes from: painted, any pictures, or patches cut from photographs of garments.
        pictures: folder of those pictures.
        picture_share: how many garments take one of them, 0 ... 1; the others and all shoes are painted.
        planned: in version 3, what the first groups are to be, as `synth.groups`.

    Raises:
        ValueError: colors or textures is none of these, no garment or no picture in its folder, a negative seed or
            number, or a version that does not exist.
        RuntimeError: the MakeHuman base data is missing.

    Source: paper section 3.3; model versions as in the published folders unreal_vX.Y.
    """
    identity = random_identity(
        seed, version, number, body=body, colors=colors, clothes=clothes, accessories=accessories, planned=planned
    )
    return build_person(identity, textures=textures, pictures=pictures, picture_share=picture_share)


def build_person(
    identity: Identity,
    *,
    textures: photographs.Textures = "generated",
    pictures: Path | None = None,
    picture_share: float = 1.0,
) -> Person:
    """Builds mesh, rig and texture of somebody.

    Args:
        identity: who.
        textures: where cloth comes from: painted, any pictures, or patches cut from photographs of garments.
        pictures: folder of those pictures.
        picture_share: how many garments take one of them, 0 ... 1; the others and all shoes are painted.

    Raises:
        ValueError: textures is none of these, or no picture in its folder.
    """
    if textures not in get_args(photographs.Textures):
        raise ValueError(f"textures must be one of {', '.join(get_args(photographs.Textures))}, got {textures!r}")
    if textures != "generated" and pictures is None:
        raise ValueError(f"textures {textures!r} need a folder of pictures; name one as pictures, or take 'generated'")
    album = photographs.open_pictures(pictures, textures) if textures != "generated" and pictures is not None else None
    shape, outfit, items = identity.body, identity.worn, identity.items
    look = _paint(identity, album, picture_share)
    mesh = garments.dress(shape, outfit)
    template = bodies.load_template()
    lift = np.array([0, 0, mesh.lift_m], np.float32)
    skeleton = gaits.Skeleton(tuple(str(name) for name in template.bone_names), template.parents, shape.joints + lift)
    rng = np.random.default_rng(identity.gait_seed)
    gait = gaits.random_gait(rng, weight=shape.weight, age=shape.age, gender=shape.gender, height_m=shape.height_m)
    arm_out, fore_out = arms.clearance(mesh.positions, mesh.bone_index, skeleton)
    gait = replace(gait, arm_out=arm_out, fore_out=fore_out)
    gait = gaits.with_stride(gait, skeleton, 0.87 if outfit.narrow else 1.0)
    gait = replace(gait, activity=activity_of(items))
    landmarks, landmark_bone = _landmarks(template, shape.vertices + lift, skeleton)
    attached, attached_bone = _attachments(template, shape.vertices + lift, skeleton)
    grips = {side: attached[row].astype(np.float64) for row, side in enumerate("lr")}
    soles = _soles(mesh.positions)
    mesh = wear(items, template, shape, outfit, mesh, skeleton, gait, grips)
    order, levels = make_levels(mesh.positions, mesh.uv, mesh.faces, mesh.slot)
    return Person(
        seed=identity.seed,
        version=identity.version,
        number=identity.number,
        positions=mesh.positions[order],
        normals=mesh.normals[order],
        uv=mesh.uv[order],
        faces=levels[0].faces,
        slots=levels[0].slots,
        levels=levels,
        bone_index=mesh.bone_index[order],
        bone_weight=mesh.bone_weight[order],
        texture=look.texture,
        height_m=shape.height_m,
        speed_mps=gait.speed_mps,
        stride_m=gait.stride_m,
        attributes={**identity.describe(), "walk": gait.walk, "idle": gait.idle, **look.words},
        skeleton=skeleton,
        gait=gait,
        landmarks=landmarks,
        landmark_bone=landmark_bone,
        soles=np.argsort(order)[soles],
        attached=attached,
        attached_bone=attached_bone,
    )


def person_maker(config: SynthConfig) -> partial[Person]:
    """Who is made for a configuration.

    Args:
        config: groups, body, colors, clothes, accessories, textures and pictures count.

    Returns:
        `make_person` of (seed, version, number).

    Raises:
        ValueError: accessories that do not exist, or no pictures that garments could take.
    """
    odds_of(config.accessories)
    if config.textures != "generated":
        photographs.open_pictures(Path(config.pictures), config.textures)
    return partial(
        make_person,
        body=config.body,
        colors=config.colors,
        clothes=Path(config.clothes) if config.clothes else None,
        accessories=config.accessories,
        textures=config.textures,
        pictures=Path(config.pictures) if config.pictures else None,
        picture_share=config.picture_share,
        planned=config.groups,
    )


def _paint(
    identity: Identity, album: photographs.AnyPictures | photographs.GarmentPatches | None, picture_share: float
) -> looks.Look:
    """The texture atlas; members of a hard group share it but for the regions in which they differ."""
    outfit, variant, colors = identity.outfit, identity.variant, identity.colors
    common = outfit if variant is None else replace(outfit, shoes=variant.common_shoes)
    rng = np.random.default_rng(identity.cloth_seed)
    look = looks.paint(rng, identity.body, common, colors=colors, pictures=album, picture_share=picture_share)
    if variant is not None and variant.shoes is not None:
        look.words.update(looks.paint_shoes(np.random.default_rng(variant.shoes), look.texture, outfit, colors))
    if variant is not None and variant.logo is not None:
        groups.paint_logo(look.texture, outfit, variant.logo)
    paint_items(look.texture, identity.items, outfit)
    return look


def _soles(positions: np.ndarray) -> np.ndarray:
    low = np.flatnonzero(positions[:, 2] < _SOLE_M)
    return low[:: -(-len(low) // _SOLE_VERTICES)]


def _attachments(
    template: bodies.Template, vertices: np.ndarray, skeleton: gaits.Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    at, skin = skeleton.at(), np.unique(template.quads[template.faces_of("body")])
    axes, bones = [], []
    for name in ATTACHMENTS:
        if name.startswith("hand"):
            side, sign = name[5], 1.0 if name == "hand_left" else -1.0
            knuckle, next_joint = at[f"middle_01_{side}"], at[f"middle_02_{side}"]
            turned = frame(knuckle - at[f"hand_{side}"], at[f"index_01_{side}"] - at[f"pinky_01_{side}"])
            place = knuckle + 0.3 * (next_joint - knuckle) + 0.022 * sign * turned[:, 2]
            bones.append(template.bone(f"hand_{side}"))
        else:
            bone, wanted = _PLACES[name]
            nearest = skin[np.linalg.norm(template.vertices[skin] - np.array(wanted), axis=1).argmin()]
            turned, place = np.eye(3), vertices[nearest].astype(np.float64)
            bones.append(template.bone(bone))
        axes.append(np.concatenate([turned, place[:, None]], 1))
    return np.array(axes, np.float32), np.array(bones, np.uint8)


def _landmarks(
    template: bodies.Template, vertices: np.ndarray, skeleton: gaits.Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    rest = template.vertices
    skin = np.unique(template.quads[template.faces_of("body")])
    face = skin[(rest[skin, 2] > 0.66) & (rest[skin, 2] < 0.76)]
    points = [vertices[face[rest[face, 0].argmax()]]]
    points += [vertices[np.unique(template.quads[template.faces_of(f"helper-{s}-eye")])].mean(0) for s in "lr"]
    points += [vertices[face[(sign * rest[face, 1]).argmax()]] for sign in (1, -1)]
    bones = [template.bone("head")] * 5
    for limb in _LIMBS:
        for side in "lr":
            bone = template.bone(f"{limb}_{side}")
            bones.append(bone)
            points.append(skeleton.joints[bone])
    return np.array(points, np.float32), np.array(bones, np.uint8)
