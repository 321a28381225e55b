"""The search page and the API's documentation: files of this folder, read once, and nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path

import jinja2
from fastapi import FastAPI, Response

_FOLDER = Path(__file__).parent
_LOOK = _FOLDER.parents[1] / "report" / "page.css"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def mount(api: FastAPI) -> None:
    """Adds the page, its files and the documentation to the server.

    Args:
        api: the server, with all of its other endpoints.
    """
    files = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    files["look.css"] = _LOOK.read_bytes()  # that of the reports
    index = (_FOLDER / "index.html").read_bytes()
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (_FOLDER / "docs.html").read_text(encoding="utf-8")
    )

    @api.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(index, media_type="text/html", headers={"cache-control": "no-cache"})

    @api.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in files:
            return Response("there is no such file", 404, media_type="text/plain")
        kind = _TYPES[Path(name).suffix]
        return Response(files[name], media_type=kind, headers={"cache-control": "no-cache"})

    @api.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(template.render(api=api.openapi()), media_type="text/html")
