"""Targets that are files: all kinds that are read and may come from others."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Attack = Callable[[bytes], object]
Prepared = tuple[list[bytes], Attack]


def in_file(folder: Path, name: str, read: Callable[[Path], object]) -> Attack:
    """Attacks a reader through one file.

    Args:
        folder: where the file lies.
        name: of the file.
        read: reader.
    """
    path = folder / name

    def attack(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return attack


def image(folder: Path) -> Prepared:
    """Images of all formats that are read."""
    from unrealperson.data.sources import decode_image

    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "PNG", {}), ("P", "PNG", {}), ("I;16", "PNG", {}), ("LA", "PNG", {}), ("RGB", "JPEG", {"exif": exif}),
        ("RGB", "JPEG", {"progressive": True}), ("CMYK", "JPEG", {}), ("RGB", "WEBP", {}), ("RGBA", "WEBP", {}),
        ("RGB", "BMP", {}), ("RGB", "PPM", {}), ("RGB", "TIFF", {"compression": "tiff_lzw"}), ("1", "TIFF", {}),
    ]  # fmt: skip
    seeds = []
    for mode, form, options in ways:
        stream = io.BytesIO()
        made = Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(pixels)
        (made if mode == "I;16" else made.convert(mode)).save(stream, form, **options)
        seeds.append(stream.getvalue())
    return seeds, lambda data: decode_image(data, "the image", size=(8, 4), max_pixels=10**6)


def _manifest(folder: Path) -> Any:
    from unrealperson.data.manifest import Manifest

    (folder / "a.png").write_bytes(image(folder)[0][0])
    row = {"path": "a.png", "pid": 1, "camid": 2, "frame": 3, "split": "train", "attributes": '{"hat": "none"}',
           "keypoints": [1.0] * 51, "tight_box": [0, 0, 2, 2], "recipe": "{}", "time_s": 1.5}  # fmt: skip
    return Manifest.from_rows([row, {"path": "b/c.png"}], folder)


def manifest(folder: Path) -> Prepared:
    """manifest.parquet."""
    from unrealperson.data.manifest import Manifest

    seed = _manifest(folder).write().read_bytes()
    return [seed], in_file(folder, "manifest.parquet", Manifest.read)


def listing(folder: Path) -> Prepared:
    """Crops listed in a CSV file."""
    from unrealperson.data.sources import read_images

    seed = b'path,pid,camid,time_s,tight_box,split\na.png,1,2,0.5,"[0, 1, 2, 3]",train\nb.png,,,,,\n'
    return [seed], in_file(folder, "crops.csv", read_images)


def shard(folder: Path) -> Prepared:
    """A WebDataset shard, and the image in it."""
    from unrealperson.data.sources import load_image, read_images

    picture, stream = image(folder)[0][0], io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in (
            ("a.png", picture),
            ("a.json", b'{"pid": 3, "camid": 1}'),
            ("b.png", picture),
            ("b.cls", b"4"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

    def read(path: Path) -> None:
        crops = read_images(path)
        load_image(crops.image_path(0), max_pixels=10**6)

    return [stream.getvalue()], in_file(folder, "0.tar", read)


def features(folder: Path) -> Prepared:
    """features.npz."""
    from unrealperson.schema import Features

    two = np.arange(2)
    Features(np.ones((2, 3), np.float32), two, two, two, ("a", "b")).save(folder / "f.npz")
    return [(folder / "f.npz").read_bytes()], in_file(folder, "f.npz", Features.load)


def truth(folder: Path) -> Prepared:
    """What is known of a kept frame (JSON)."""
    from unrealperson.data.frames import read_frame

    for name in ("c001_1_lit.png", "c001_1_mask.png"):
        (folder / name).write_bytes(image(folder)[0][0])
    known = {"colors": {"3": [1, 2, 3]}, "people": {"3": {"yaw_deg": 1.0}}, "attributes": {"3": {"hat": "none"}}}
    seed = {"scene": 1, "version": 1, "camera": 1, "frame": 1, "time_s": 0.5, "light": 1, "objects": {"a": [4, 5, 6]}}
    read = in_file(folder, "c001_1_truth.json", lambda path: read_frame(folder / "c001_1_lit.png"))
    return [json.dumps(seed | known).encode()], read


def colors(folder: Path) -> Prepared:
    """The original's pickled mask colours."""
    from unrealperson.data.frames import read_colors

    seeds = [pickle.dumps({"MH_1": [1, 2, 3], "MH_2": "(R=1,G=2,B=3,A=255)"}, protocol) for protocol in (0, 2, 4)]
    return seeds, in_file(folder, "object_color.pkl", read_colors)


def poses(folder: Path) -> Prepared:
    """The original's pickled camera poses."""
    from unrealperson.synth.poses import read_poses

    seeds = [pickle.dumps([("1 2 3", "0 90 0"), ((1, 2.5, 3), [0, 0, 0])], protocol) for protocol in (0, 2, 4)]
    return seeds, in_file(folder, "caminfo.pkl", read_poses)


def poses_json(folder: Path) -> Prepared:
    """Camera poses as JSON."""
    from unrealperson.synth.poses import read_poses

    seed = {"cameras": [{"location_cm": [1, 2, 3], "pitch_yaw_roll_deg": [0, 90, 0], "fov_deg": 60}]}
    return [json.dumps(seed).encode()], in_file(folder, "poses.json", read_poses)


def run_lengths(folder: Path) -> Prepared:
    """COCO's compressed masks."""
    from unrealperson.data.rle import decode_mask, encode_mask

    mask = np.random.default_rng(0).random((9, 7)) < 0.5
    seed = bytes(mask.shape) + encode_mask(mask).encode()
    return [seed], lambda data: decode_mask(data[2:].decode("latin-1"), *(*data[:2], 1, 1)[:2])


def gltf(folder: Path) -> Prepared:
    """A scene as binary glTF, or as text."""
    from models import hall

    from unrealperson.synth.scenes.gltf import read_gltf

    model = hall()
    return [model.glb(), json.dumps(model.json).encode()], in_file(folder, "model.glb", read_gltf)


def mhclo(folder: Path) -> Prepared:
    """A MakeHuman garment: fitting file, mesh and material, parted by zero bytes."""
    from test_people_mhclo import CUBE, HEAD, ROWS

    from unrealperson.synth.people.body import random_body
    from unrealperson.synth.people.mhclo import fit, read_mhclo

    body = random_body(np.random.default_rng(0))

    def attack(data: bytes) -> None:
        for name, part in zip(
            ("patch.mhclo", "patch.obj", "patch.mhmat"), [*data.split(b"\0"), b"", b""], strict=False
        ):
            (folder / name).write_bytes(part)
        fit(read_mhclo(folder / "patch.mhclo"), body)

    text = f"{HEAD}material patch.mhmat\ntag hat\nverts 0\n{ROWS}delete_verts\n10 - 12 20\n"
    return [f"{text}\0{CUBE}\0diffuseTexture a.png\n".encode()], attack


def config(folder: Path) -> Prepared:
    """A configuration, and a grid of experiments."""
    from unrealperson.ablate.grid import load_grid
    from unrealperson.config import load_config

    root = Path(__file__).resolve().parents[2] / "configs"
    seeds = [path.read_bytes() for path in sorted(root.rglob("*.toml"))]

    def read(path: Path) -> None:
        for reader in (load_config, load_grid):
            try:
                reader(path)
            except ValueError as error:
                if type(error) is not ValueError:
                    raise

    return seeds, in_file(folder, "c.toml", read)


def onnx(folder: Path) -> Prepared:
    """An exported network."""
    from encoders import make_model

    from unrealperson.export.encoder import OnnxEncoder

    seed = make_model(folder / "m.onnx", table=np.ones((4, 16), np.float32)).read_bytes()
    return [seed], in_file(folder, "m.onnx", lambda path: OnnxEncoder(path, threads=1))


def checkpoint(folder: Path) -> Prepared:
    """model.safetensors of a run."""
    import torch
    from safetensors.torch import save

    from unrealperson.checkpoint import RunState, load_state

    facts: dict[str, Any] = {name: 0 for name in RunState.__dataclass_fields__}
    facts |= {"identity_keys": [1], "camera_keys": [1], "format_version": 1}
    seed = save({"w": torch.ones(2)}, metadata={"unrealperson": json.dumps(facts)})
    return [seed], in_file(folder, "model.safetensors", lambda path: load_state(folder))


def weights(folder: Path) -> Prepared:
    """A PyTorch state dict."""
    import torch

    from unrealperson.models.weights import read_state

    torch.save({"state_dict": {"module.w": torch.ones(2)}}, folder / "w.pt")
    return [(folder / "w.pt").read_bytes()], in_file(folder, "w.pt", read_state)


def gallery(folder: Path) -> Prepared:
    """gallery.json, in a gallery whose other files are whole."""
    from serving import make_gallery

    from unrealperson.gallery import Gallery

    made = make_gallery(folder)
    facts = json.loads((made / "gallery.json").read_text())
    facts.pop("sha256")  # galleries of earlier releases have no checksum of their state, and are read
    return [json.dumps(facts).encode()], in_file(made, "gallery.json", lambda path: Gallery.open(made))


def gallery_rows(folder: Path) -> Prepared:
    """The rows of a gallery, under a checksum that fits them."""
    from serving import make_gallery

    from unrealperson.gallery import Gallery
    from unrealperson.serve.catalogue import Catalogue

    made = make_gallery(folder)
    facts = json.loads((made / "gallery.json").read_text())
    facts.pop("sha256")
    segment = facts["segments"][0]
    name = f"{segment['name']}.rows.arrow"

    def attack(data: bytes) -> None:
        segment["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (made / name).write_bytes(data)
        (made / "gallery.json").write_text(json.dumps(facts))
        catalogue = Catalogue(Gallery.open(made))
        if len(catalogue):
            catalogue.entry(0)

    return [(made / name).read_bytes()], attack
