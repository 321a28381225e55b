"""Meshes of accessories, fitted to one dressed person and skinned to the bones that carry them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unrealperson.synth.people.accessories import Item
from unrealperson.synth.people.bags import backpack, crossbody, handbag, shoulder_bag, suitcase
from unrealperson.synth.people.body import Body, Template
from unrealperson.synth.people.dressing import Dressing
from unrealperson.synth.people.facewear import glasses, mask
from unrealperson.synth.people.gait import Gait, Skeleton
from unrealperson.synth.people.handheld import phone, trolley, umbrella
from unrealperson.synth.people.headwear import earphones, hat, headphones, hood, scarf
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.sheets import SLOTS, Mesh, weld

_BUILD: dict[str, Callable[[Dressing, Item], None]] = {
    "backpack": backpack, "shoulder bag": shoulder_bag, "crossbody": crossbody, "cap": hat, "beanie": hat,
    "brimmed hat": hat, "hood": hood, "headphones": headphones, "earphones": earphones, "glasses": glasses,
    "sunglasses": glasses, "mask": mask, "scarf": scarf, "handbag": handbag, "tote": handbag, "suitcase": suitcase,
    "umbrella": umbrella, "closed umbrella": umbrella, "phone": phone,
    "trolley": trolley,
}  # fmt: skip


def wear(
    items: tuple[Item, ...],
    template: Template,
    body: Body,
    outfit: Outfit,
    mesh: Mesh,
    skeleton: Skeleton,
    gait: Gait,
    grips: dict[str, np.ndarray],
) -> Mesh:
    """Adds accessories to a dressed person.

    Args:
        items: what is worn and held.
        template: the base mesh.
        body: the person's shape.
        outfit: what it wears.
        mesh: the dressed person.
        skeleton: the rig at rest, soles at z = 0.
        gait: habits; the activity belongs to the items.
        grips: [3, 4] rest axes and place of the two hands, "l" and "r".

    Returns:
        One mesh of the person with everything.
    """
    if not items:
        return mesh
    dressing = Dressing(template, body, outfit, mesh, skeleton, gait, grips)
    for item in items:
        dressing.slot = SLOTS.index(item.slot)
        _BUILD[item.kind](dressing, item)
    more = weld(dressing.parts)
    more.positions[:, 2] -= np.float32(more.lift_m)
    joined = {
        name: np.concatenate([getattr(mesh, name), getattr(more, name)])
        for name in ("positions", "normals", "uv", "bone_index", "bone_weight", "slot")
    }
    faces = np.concatenate([mesh.faces, more.faces + np.uint32(len(mesh.positions))])
    return Mesh(faces=faces, lift_m=mesh.lift_m, **joined)
