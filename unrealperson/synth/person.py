"""A synthetic person: a pure function of (seed, version, number)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from unrealperson.synth import body as bodies
from unrealperson.synth import cloth, garments, mhclo, outfits, textures
from unrealperson.synth import gait as gaits

VERSIONS = (1,)
KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's order."""
_LIMBS = ("upperarm", "lowerarm", "hand", "thigh", "calf", "foot")
_SOLE_VERTICES = 96


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
    """

    seed: int
    version: int
    number: int
    positions: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
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

    def bones(self, phase: float, *, moving: float = 1.0) -> np.ndarray:
        """Pose at one instant, with the lower sole on the ground.

        Args:
            phase: cycles; a whole number is a left heel strike.
            moving: 0 stands, 1 walks, in between blends.

        Returns:
            [B, 3, 4] float32; each maps rest positions to posed positions in the local frame.
        """
        matrices = gaits.pose(self.skeleton, self.gait, phase, moving)
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


def make_person(
    seed: int, version: int, number: int, *, colors: cloth.Colors = "wardrobe", clothes: Path | None = None
) -> Person:
    """Makes a person; the same arguments give the same bytes in every process.

    Args:
        seed: seed of the data set, 0 or more.
        version: model version Y; 1 is basic people without accessories.
        number: person P, 0 or more.
        colors: how the colours of clothes are drawn: as people wear them, (almost) all black, or evenly.
        clothes: folder of MakeHuman `.mhclo` garments that half of the people wear.

    Raises:
        ValueError: colors is none of these, no garment in the folder, a negative seed or number, or a version
            that does not exist.
        RuntimeError: the MakeHuman base data is missing.

    Source: paper section 3.3; model versions as in the published folders unreal_vX.Y.
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(str, VERSIONS))}, got {version}")
    if colors not in get_args(cloth.Colors):
        raise ValueError(f"colors must be one of {', '.join(get_args(cloth.Colors))}, got {colors!r}")
    if seed < 0 or number < 0:
        raise ValueError(f"seed and number must be 0 or more, got seed {seed} and number {number}")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence((seed, version, number)).spawn(4)]
    body = bodies.random_body(streams[0])
    fitted = mhclo.load_clothes(clothes) if clothes is not None else ()
    outfit = outfits.random_outfit(streams[1], gender=body.gender, clothes=fitted)
    look = textures.paint(streams[2], body, outfit, colors=colors)
    mesh = garments.dress(body, outfit)
    template = bodies.load_template()
    lift = np.array([0, 0, mesh.lift_m], np.float32)
    skeleton = gaits.Skeleton(tuple(str(name) for name in template.bone_names), template.parents, body.joints + lift)
    gait = gaits.random_gait(streams[3], weight=body.weight, age=body.age)
    speed_mps = float(np.clip(streams[3].normal(1.3 - 0.25 * max(0.0, body.age - 60) / 20, 0.14), 0.8, 1.6))
    wanted_m = (0.68 if outfit.narrow else 0.78) * body.height_m * (speed_mps / 1.3) ** 0.6
    gait, stride_m = gaits.with_stride(skeleton, gait, wanted_m)
    landmarks, landmark_bone = _landmarks(template, body.vertices + lift, skeleton)
    return Person(
        seed=seed,
        version=version,
        number=number,
        positions=mesh.positions,
        normals=mesh.normals,
        uv=mesh.uv,
        faces=mesh.faces,
        bone_index=mesh.bone_index,
        bone_weight=mesh.bone_weight,
        texture=look.texture,
        height_m=body.height_m,
        speed_mps=speed_mps,
        stride_m=stride_m,
        attributes={
            "gender": body.gender,
            "age": round(body.age),
            "height_m": round(body.height_m, 3),
            **outfits.describe(outfit),
            "hair": outfit.hair,
            **look.words,
        },
        skeleton=skeleton,
        gait=gait,
        landmarks=landmarks,
        landmark_bone=landmark_bone,
        soles=np.argsort(mesh.positions[:, 2], kind="stable")[:_SOLE_VERTICES],
    )


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
