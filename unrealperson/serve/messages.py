"""What clients may ask, and what they are told: the models behind the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_NUMBER = 2**53
MOST_RERANKED = 1000
_Name = Annotated[str, Field(max_length=200)]
_Seconds = Annotated[float, Field(allow_inf_nan=False)]
_Frame = Annotated[int, Field(ge=0, le=MOST_NUMBER)]
_Id = Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="An entry of the gallery.")]


class SearchSettings(BaseModel):
    """How to search."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(20, ge=1, description="Hits to return; the server sets a limit.")
    only_camera: list[_Name] = Field([], max_length=64, description="Only hits under these cameras, by number or name.")
    not_camera: list[_Name] = Field([], max_length=64, description="No hits under these cameras.")
    from_s: _Seconds | None = Field(None, description="Only hits at this time or later, seconds.")
    to_s: _Seconds | None = Field(None, description="Only hits before this time, seconds.")
    from_frame: _Frame | None = Field(None, description="Only hits at this frame number or later.")
    to_frame: _Frame | None = Field(None, description="Only hits before this frame number.")
    source: list[_Name] = Field([], max_length=64, description="Only hits in these folders below the gallery's root.")
    attribute: list[Annotated[str, Field(pattern="^[^=]+=.*$", max_length=200)]] = Field(
        [], max_length=64, description="Only hits of people with these attributes, 'name=value'."
    )
    group: Literal["none", "identity", "tracklet"] = Field(
        "none", description="One hit for each person, or for each passage of a person under a camera."
    )
    rerank: bool = Field(False, description="Order the first hits by their common neighbours (k-reciprocal).")
    rerank_hits: int = Field(100, ge=2, le=MOST_RERANKED, description="How many are ordered so.")


class ImageSearch(SearchSettings):
    """How to search with an image."""

    camera: _Name = Field("", description="Camera of the image, by number or name, if it is known.")


class EntrySearch(SearchSettings):
    """How to search on from an entry of the gallery."""

    id: _Id


class Known(BaseModel):
    """What every answer tells of an entry."""

    id: _Id
    path: str = Field(description="Below the folder that was indexed.")
    person: int | None = Field(description="Global identity, where it is known.")
    camera: int | None = Field(description="Global camera, where it is known.")
    frame: int | None = Field(description="Frame number, where it is known.")
    time_s: float | None = Field(description="Seconds on the clock of the data, where they are known.")


class SearchHit(Known):
    """An entry that resembles the query."""

    similarity: float = Field(description="Cosine of the feature vectors, -1 ... 1.")
    same: bool | None = Field(description="Whether that reaches the gallery's threshold for one person, if it has one.")


class SearchAnswer(BaseModel):
    """Hits, the most similar first; a query from the gallery is among its own hits."""

    hits: list[SearchHit]
    revision: int = Field(description="State of the gallery that was searched.")


class Entry(Known):
    """All that is told of an entry."""

    attributes: dict[str, str | int | float | bool | None] = Field(description="What the person looks like, if known.")


class AddedEntry(BaseModel):
    """An image that was sent to be added."""

    id: _Id
    added: bool = Field(description="False: the gallery had it already.")


class AddAnswer(BaseModel):
    """The images in the order in which they were sent."""

    entries: list[AddedEntry]
    images: int = Field(description="In the gallery now.")


class Removal(BaseModel):
    """Which entries to remove."""

    model_config = ConfigDict(extra="forbid")

    ids: list[_Id] = Field(min_length=1, max_length=1000)


class RemoveAnswer(BaseModel):
    """What became of it."""

    removed: int = Field(description="Entries that were there.")
    images: int = Field(description="In the gallery now.")


class Person(BaseModel):
    """A person of the gallery."""

    person: int
    images: int
    cameras: list[int]
    from_s: float | None
    to_s: float | None
    entry: str = Field(description="Id of an entry that shows the person.")


class People(BaseModel):
    """Some of the gallery's people, by number."""

    total: int
    people: list[Person]


class NamedCamera(BaseModel):
    """A camera whose statistics the model holds."""

    camera: int
    name: str


class GalleryCamera(NamedCamera):
    """A camera of the gallery."""

    images: int


class GalleryFacts(BaseModel):
    """What the gallery holds, and what its entries can be chosen by."""

    images: int
    people: int
    revision: int
    cameras: list[GalleryCamera]
    known_cameras: list[NamedCamera]
    from_s: float | None
    to_s: float | None
    from_frame: int | None
    to_frame: int | None
    attributes: dict[str, list[str]]
    threshold: float | None = Field(description="Similarity from which two images show one person, if calibrated.")
    changes: bool = Field(description="Whether entries can be added and removed.")
    max_hits: int
    max_upload_bytes: int


class State(BaseModel):
    """Whether the server works."""

    status: Literal["ok", "ready", "stopping"]
    version: str


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str
