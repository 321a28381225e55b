"""The server's endpoints. Heavy work happens in threads: images are decoded in one pool, encoded, searched and written
by a batcher each; the event loop only passes things on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, File, Form, HTTPException, Path, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from PIL import Image

from unrealperson import __version__
from unrealperson.config import ServeConfig
from unrealperson.data.sources import decode_image
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN
from unrealperson.serve import messages, page
from unrealperson.serve.batching import Batcher
from unrealperson.serve.catalogue import Catalogue, Question, entry_id
from unrealperson.serve.guard import Guard
from unrealperson.serve.keeper import Addition, Change, Keeper, Look, Removal
from unrealperson.serve.metrics import Metrics

logger = get_logger(__name__)

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats of images that are accepted, and how the files of added ones end."""
_SEARCHES_TOGETHER = 8
"""One pass over a gallery serves so many queries best: more of them leave the processor's caches."""
_CHANGES_TOGETHER = 64
_CPU_BATCH, _GPU_BATCH = 4, 32
_THUMBNAILS_KEPT = 2000

_EntryId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="An entry of the gallery.")]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": messages.Problem, "description": text}
    for status, text in {
        400: "The body cannot be read.",
        401: "The token is missing or wrong.",
        403: "Called from another site, or under another name; or changes are not allowed.",
        404: "There is no such entry.",
        408: "The request took too long to arrive.",
        413: "The request is too large.",
        422: "A parameter or an image is wrong; `detail` says which.",
        429: "The server has as much to do as it can; `Retry-After` says when to come back.",
        503: "The gallery cannot be changed at the moment.",
    }.items()
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers of an endpoint besides the good one, for its documentation.

    Args:
        statuses: those that it can give beyond the ones that each can give.
    """
    return {status: _PROBLEMS[status] for status in (401, 403, *statuses)}


@dataclass(frozen=True)
class _Search:
    """A query that is ready to be searched: a vector, or the row of an entry."""

    catalogue: Catalogue
    question: Question
    vector: np.ndarray | None = None
    row: int = UNKNOWN


class Service:
    """The parts of a running server.

    Attributes:
        guard: the ASGI application.
        api: the FastAPI application within.
    """

    def __init__(self, keeper: Keeper, config: ServeConfig, *, token: str = "") -> None:
        """Puts a server together; it begins to work with its lifespan.

        Args:
            keeper: of the gallery.
            config: section [serve].
            token: that requests must bring; "" is none.
        """
        self._keeper = keeper
        self._config = config
        self._changes = config.changes and keeper.writable
        if config.changes and not self._changes:
            logger.warning("the gallery or its images' folder cannot be written to: clients can neither add nor remove")
        self._metrics = Metrics()
        self._stopping = False
        self._decoders = ThreadPoolExecutor(max(1, min(len(os.sched_getaffinity(0)), 8)), thread_name_prefix="decode")
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        self.api = self._routes()
        self.guard = Guard(self.api, config, token=token, metrics=self._metrics)
        observe = self._metrics.batch_done
        on_cpu = keeper.encoder.providers[:1] == ("CPUExecutionProvider",)
        self._encode = Batcher[tuple[np.ndarray, int], np.ndarray](
            self._encode_batch,
            name="encode",
            most=config.max_batch or (_CPU_BATCH if on_cpu else _GPU_BATCH),
            wait_s=config.batch_wait_ms / 1e3,
            expected=lambda: self.guard.gate.inside,
            observe=observe,
        )
        self._search = Batcher[_Search, list[dict[str, Any]]](
            search_together, name="search", most=_SEARCHES_TOGETHER, observe=observe
        )
        self._write = Batcher[Change, Any](keeper.change, name="write", most=_CHANGES_TOGETHER, observe=observe)

    def _encode_batch(self, batch: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        images, cameras = zip(*batch, strict=True)
        return list(self._keeper.encoder.encode(np.stack(images), np.array(cameras, np.int64)))

    @contextlib.asynccontextmanager
    async def _lifespan(self, api: FastAPI) -> AsyncIterator[None]:
        stages = (self._encode, self._search, self._write)
        for stage in stages:
            stage.start()
        self._tell_gallery()
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self._stopping = True
            looking.cancel()
            for stage in stages:
                await stage.close()
            self._decoders.shutdown()
            logger.info("stopped; all requests were answered")

    async def _look(self) -> None:
        """Takes up what other processes write to the gallery."""
        while True:
            await asyncio.sleep(self._config.refresh_s)
            try:
                await self._write.submit(Look())
                self._tell_gallery()
            except (OSError, ValueError) as error:
                logger.error("the gallery cannot be read anew, its earlier state is served: %s", error)
            except RuntimeError:
                return

    def _tell_gallery(self) -> None:
        self._metrics.images.set(len(self._keeper.catalogue))
        self._metrics.revision.set(self._keeper.catalogue.gallery.revision)

    async def _decode(self, content: bytes) -> np.ndarray:
        encoder, most = self._keeper.encoder, int(self._config.max_megapixels * 1e6)

        def decode() -> np.ndarray:
            return decode_image(
                content, "the upload", size=(encoder.height, encoder.width), max_pixels=most, formats=tuple(FORMATS)
            )

        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, decode)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    def _camera(self, name: str) -> int:
        if not name:
            return UNKNOWN
        try:
            camera = self._keeper.encoder.camera_id(name)
        except ValueError:
            raise HTTPException(422, f"there is no camera {name!r}") from None
        if not UNKNOWN <= camera <= messages.MOST_NUMBER:
            raise HTTPException(422, f"camera must lie in 0 ... {messages.MOST_NUMBER}, got {name!r}")
        return camera

    def _question(self, given: messages.SearchSettings) -> Question:
        if given.k > self._config.max_hits:
            raise HTTPException(422, f"k must be at most {self._config.max_hits} (serve.max_hits), got {given.k}")
        return Question(
            k=given.k,
            cameras=tuple(map(self._camera, given.only_camera)),
            not_cameras=tuple(map(self._camera, given.not_camera)),
            from_s=given.from_s,
            to_s=given.to_s,
            from_frame=given.from_frame,
            to_frame=given.to_frame,
            sources=tuple(given.source),
            attributes=tuple(sorted((name, value) for name, _, value in (x.partition("=") for x in given.attribute))),
            group=None if given.group == "none" else given.group,
            rerank=given.rerank_hits if given.rerank else 0,
        )

    async def _hits(self, search: _Search) -> Response:
        hits = await self._search.submit(search)
        return _json({"hits": hits, "revision": search.catalogue.gallery.revision})

    async def _change(self, change: Change) -> Any:
        try:
            done = await self._write.submit(change)
        except (RuntimeError, OSError) as error:
            logger.error("the gallery could not be changed: %s", error)
            raise HTTPException(
                503, "the gallery cannot be changed at the moment; the server's log tells why", {"retry-after": "5"}
            ) from None
        self._tell_gallery()
        return done

    def _require_changes(self) -> None:
        if not self._changes:
            raise HTTPException(403, "this server does not change its gallery")

    def _row(self, entry: str) -> tuple[Catalogue, int]:
        catalogue = self._keeper.catalogue
        row = catalogue.row(entry)
        if row is None:
            raise HTTPException(404, f"there is no entry {entry}")
        return catalogue, row

    async def _thumbnail(self, entry: str, height_px: int) -> bytes:
        key = f"{entry}-{height_px}"
        if key not in self._thumbnails:
            catalogue, row = self._row(entry)
            try:
                image = await asyncio.get_running_loop().run_in_executor(
                    self._decoders, catalogue.thumbnail, row, height_px
                )
            except ValueError as error:
                logger.warning("no thumbnail: %s", error)
                raise HTTPException(404, f"the image of entry {entry} is missing or damaged") from None
            self._thumbnails[key] = image
            if len(self._thumbnails) > _THUMBNAILS_KEPT:
                self._thumbnails.popitem(last=False)
        else:
            self._row(entry)  # it may have been removed since
            self._thumbnails.move_to_end(key)
        return self._thumbnails[key]

    def _routes(self) -> FastAPI:
        api = FastAPI(
            title="unrealperson",
            version=__version__,
            summary="Search a gallery of person crops.",
            description=(
                "Images are sent as multipart form data. Where the server has a token, every request but those to /, "
                "/health and /ready brings it as `Authorization: Bearer TOKEN`."
            ),
            docs_url=None,
            redoc_url=None,
            lifespan=self._lifespan,
        )

        @api.exception_handler(RequestValidationError)
        async def wrong_parameter(request: Request, error: RequestValidationError) -> Response:
            return _json({"detail": "; ".join(map(_explain, error.errors()[:5]))}, 422)

        @api.post("/search", response_model=messages.SearchAnswer, responses=problems(400, 408, 413, 422, 429))
        async def search_by_image(
            image: Annotated[UploadFile, File(description="Crop of one person: JPEG, PNG, WebP or BMP.")],
            how: Annotated[messages.ImageSearch, Query()],
        ) -> Response:
            """Finds the entries that resemble an image."""
            question, camera = self._question(how), self._camera(how.camera)
            pixels = await self._decode(await image.read())
            vector = await self._encode.submit((pixels, camera))
            return await self._hits(_Search(self._keeper.catalogue, question, vector))

        @api.get("/search", response_model=messages.SearchAnswer, responses=problems(404, 422, 429))
        async def search_by_entry(how: Annotated[messages.EntrySearch, Query()]) -> Response:
            """Finds the entries that resemble an entry."""
            catalogue, row = self._row(how.id)
            return await self._hits(_Search(catalogue, self._question(how), row=row))

        @api.post("/add", response_model=messages.AddAnswer, responses=problems(400, 408, 413, 422, 429, 503))
        async def add(
            images: Annotated[list[UploadFile], File(description="Crops: JPEG, PNG, WebP or BMP.")],
            camera: Annotated[str, Form(max_length=200, description="Number or name of their camera.")] = "",
            person: Annotated[int | None, Form(ge=0, le=messages.MOST_NUMBER)] = None,
            frame: Annotated[int | None, Form(ge=0, le=messages.MOST_NUMBER)] = None,
            time_s: Annotated[float | None, Form(allow_inf_nan=False, description="When they were taken.")] = None,
        ) -> Response:
            """Adds images of one camera to the gallery; all of them are there afterwards, or none."""
            self._require_changes()
            if len(images) > self._config.max_images:
                raise HTTPException(422, f"at most {self._config.max_images} images (serve.max_images) at a time")
            camid = self._camera(camera)
            known = {"pid": person, "camid": camid, "frame": frame, "time_s": time_s}
            contents = [await image.read() for image in images]
            decoded = [await self._decode(content) for content in contents]
            vectors = await asyncio.gather(*(self._encode.submit((pixels, camid)) for pixels in decoded))
            additions = tuple(
                Addition(content, _suffix(content), vector, known)
                for content, vector in zip(contents, vectors, strict=True)
            )
            new = await self._change(additions)
            entries = [
                {"id": entry_id(addition.path), "added": added} for addition, added in zip(additions, new, strict=True)
            ]
            return _json({"entries": entries, "images": len(self._keeper.catalogue)})

        @api.post("/remove", response_model=messages.RemoveAnswer, responses=problems(400, 408, 413, 422, 429, 503))
        async def remove(wanted: messages.Removal) -> Response:
            """Removes entries. Image files that were indexed stay where they are; those that were added are deleted."""
            self._require_changes()
            removed = await self._change(Removal(tuple(wanted.ids)))
            return _json({"removed": removed, "images": len(self._keeper.catalogue)})

        @api.get("/gallery", response_model=messages.GalleryFacts, responses=problems())
        async def gallery() -> Response:
            """What the gallery holds, and what its entries can be chosen by."""
            catalogue = self._keeper.catalogue
            facts = await asyncio.get_running_loop().run_in_executor(self._decoders, lambda: catalogue.facts)
            limits = {
                "changes": self._changes,
                "max_hits": self._config.max_hits,
                "max_upload_bytes": int(self._config.max_upload_mb * 1e6),
            }
            return _json(facts | limits)

        @api.get("/identities", response_model=messages.People, responses=problems(422))
        async def identities(
            offset: Annotated[int, Query(ge=0, le=messages.MOST_NUMBER)] = 0,
            limit: Annotated[int, Query(ge=1, le=500)] = 50,
            camera: Annotated[str, Query(max_length=200, description="Only people seen there.")] = "",
        ) -> Response:
            """The people of the gallery, by number."""
            catalogue, camid = self._keeper.catalogue, self._camera(camera) if camera else None
            people = await asyncio.get_running_loop().run_in_executor(
                self._decoders, catalogue.identities, offset, limit, camid
            )
            return _json(people)

        @api.get("/entries/{entry}", response_model=messages.Entry, responses=problems(404, 422))
        async def entry(entry: _EntryId) -> Response:
            """All that is known of an entry."""
            catalogue, row = self._row(entry)
            return _json(catalogue.entry(row))

        @api.get(
            "/thumbnails/{entry}",
            response_class=Response,
            responses={200: {"content": {"image/jpeg": {}}}, **problems(404, 422)},
        )
        async def thumbnail(entry: _EntryId, height_px: Annotated[int, Query(ge=16, le=512)] = 192) -> Response:
            """A small image of an entry."""
            content = await self._thumbnail(entry, height_px)
            return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

        @api.get("/health", response_model=messages.State)
        async def health() -> Response:
            """Whether the process answers."""
            return _json({"status": "ok", "version": __version__})

        @api.get("/ready", response_model=messages.State, responses={503: {"model": messages.State}})
        async def ready() -> Response:
            """Whether the server takes requests."""
            state = "stopping" if self._stopping else "ready"
            return _json({"status": state, "version": __version__}, 503 if self._stopping else 200)

        @api.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **problems()})
        async def metrics() -> Response:
            """Figures in Prometheus' text format."""
            return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

        page.mount(api)
        return api


def search_together(searches: Sequence[_Search]) -> list[list[dict[str, Any]]]:
    """Answers searches; those that ask the same of the same state pass over the gallery once.

    Args:
        searches: with their states.
    """
    alike: dict[tuple[int, Question], list[int]] = {}
    for number, search in enumerate(searches):
        alike.setdefault((id(search.catalogue), search.question), []).append(number)
    answers: list[list[dict[str, Any]]] = [[] for _ in searches]
    for (_, question), numbers in alike.items():
        catalogue = searches[numbers[0]].catalogue
        queries = []
        for number in numbers:
            vector = searches[number].vector
            queries.append(catalogue.gallery.vectors(np.array([searches[number].row]))[0] if vector is None else vector)
        for number, answer in zip(numbers, catalogue.search(np.stack(queries), question), strict=True):
            answers[number] = answer
    return answers


def _json(content: Any, status: int = 200) -> Response:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def _explain(error: Any) -> str:
    place = " ".join(str(part) for part in error["loc"][1:]) or "the body"
    return f"{place}: {error['msg']}"


def _suffix(content: bytes) -> str:
    with Image.open(io.BytesIO(content), formats=tuple(FORMATS)) as image:
        return FORMATS[str(image.format)]
