"""What a type of garment is: plain data about its cut.

Lengths are heights on the neutral base mesh in metres: neck 0.575, chest 0.40, waist 0.18, crotch -0.045,
knee -0.37, ankle -0.745, sole -0.82. Widths are metres too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Slot = Literal["top", "outer", "bottom", "dress", "shoes"]
Collar = Literal["none", "crew", "polo", "shirt", "stand", "turtle", "cowl", "lapel", "shawl", "hood"]
Opening = Literal["none", "closed", "open"]


@dataclass(frozen=True)
class Upper:
    """The part of a garment that hangs from the shoulders.

    Attributes:
        hem_z: lower edge.
        sleeve: end of the sleeves; below 0 the armhole is cut in, 0 shoulder, 1 elbow, 2 wrist.
        neck_m: depth of the neckline in front.
        neck_wide_m: by how much the neckline is wider than a crew neck, to each side.
        v_neck: 0 is a round neckline, 1 a V.
        collar: what stands at the neck.
        opening: the front: none, closed by a zip or buttons, or open over the layer below.
        notch_z: down to here a closed front opens in a V; 1 for none.
        room_m: gap to the layer below, with the cloth's thickness.
        fall: 0 follows the body ... 1 falls straight from the chest.
        arm_m: least radius of the sleeves above the elbow.
        wrist_m: least radius of the sleeves at their end.
        flare: share by which what hangs below the hip widens.
        quilt_m: height of padded chambers.
        bib: a bib with straps instead of a bodice.
    """

    hem_z: float = 0.04
    sleeve: float = 0.65
    neck_m: float = 0.008
    neck_wide_m: float = 0.0
    v_neck: float = 0.0
    collar: Collar = "none"
    opening: Opening = "none"
    notch_z: float = 1.0
    room_m: float = 0.007
    fall: float = 0.5
    arm_m: float = 0.05
    wrist_m: float = 0.05
    flare: float = 0.0
    quilt_m: float = 0.0
    bib: bool = False


@dataclass(frozen=True)
class Lower:
    """The part of a garment that hangs from the waist.

    Attributes:
        waist_z: upper edge.
        leg_z: lower edge.
        thigh_m: least radius of the legs half way down the thigh.
        knee_m: least radius at the knee.
        hem_m: least radius at the ankle.
        room_m: gap to the skin.
        skirt: whether it is a skirt.
        flare: share by which a skirt widens to its edge.
        pleats: number of waves around a skirt.
        wave_m: height of those waves at the edge.
        tiers: horizontal steps of a skirt.
        cuff_m: height of a turned-up or ribbed edge.
    """

    waist_z: float = 0.14
    leg_z: float = -0.77
    thigh_m: float = 0.0
    knee_m: float = 0.0
    hem_m: float = 0.0
    room_m: float = 0.005
    skirt: bool = False
    flare: float = 0.0
    pleats: int = 0
    wave_m: float = 0.0
    tiers: int = 0
    cuff_m: float = 0.0


@dataclass(frozen=True)
class Shoe:
    """A pair of shoes.

    Attributes:
        shaft_z: upper edge at the ankle.
        vamp_x: in front of this the foot is covered; smaller closes the instep.
        sole_m: thickness of the sole.
        heel_m: by how much the heel is higher than the toes.
        straps: places along the foot of sandal straps; empty for closed shoes.
        shaft_m: least radius of a boot's shaft.
        toe_m: by how much the toes are longer.
        peg_m: radius of a thin heel; 0 for a block.
    """

    shaft_z: float = -0.755
    vamp_x: float = -0.2
    sole_m: float = 0.022
    heel_m: float = 0.0
    straps: tuple[float, ...] = ()
    shaft_m: float = 0.0
    toe_m: float = 0.004
    peg_m: float = 0.0


@dataclass(frozen=True)
class Garment:
    """One type of garment.

    Attributes:
        name: unique.
        category: what a shop would file it under.
        slot: the layer: top, outer, bottom, dress or shoes.
        women: how often women wear it, relative to others of the slot.
        men: how often men wear it.
        cloth: families of cloth it is made of.
        upper: cut of the part on the shoulders.
        lower: cut of the part on the hips; a dress, suit or overall has both.
        shoe: cut of shoes.
        pockets: none, patch, slant, cargo, chest or kangaroo.
        trim: what else is sewn on: none, ribs, yoke, biker, belt, storm, stripes or double.
    """

    name: str
    category: str
    slot: Slot
    women: float
    men: float
    cloth: tuple[str, ...]
    upper: Upper | None = None
    lower: Lower | None = None
    shoe: Shoe | None = None
    pockets: str = "none"
    trim: str = "none"

    @property
    def cut(self) -> tuple[Upper | None, Lower | None, Shoe | None]:
        """What makes its shape."""
        return self.upper, self.lower, self.shoe
