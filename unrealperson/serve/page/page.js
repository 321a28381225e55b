// The search page: what is looked for, how, and what was found. An entry's search is in the address, so that the
// browser's back button and bookmarks work; a picture from outside is kept as long as the page is open.

import { ask, showPicture } from "/page/api.js";
import { clock, rove, showMatches, showPeople, showTime, showTimeline, timeOf } from "/page/view.js";

const PEOPLE_AT_ONCE = 60;
const KS = [10, 20, 50, 100, 200];
const at = (id) => document.getElementById(id);
const pictures = new Map();
let facts;
let unit = null;
let names = new Map();
let query = null; // { id } of an entry, { picture } from outside, or null
let running = null;

// ---------------------------------------------------------------- what is looked for

async function showQuery(entry) {
  const image = at("query-image");
  document.body.classList.toggle("has-query", query !== null);
  image.hidden = query === null;
  at("drop-empty").hidden = query !== null;
  at("own-camera-row").hidden = !query?.picture || facts.known_cameras.length === 0;
  at("query-about").hidden = query === null;
  if (query?.picture) {
    image.src = query.shown;
    at("query-about").textContent = query.picture.name || "a pasted picture";
  } else if (entry) {
    showPicture(image, entry.id, 512);
    const camera = entry.camera === null ? "camera unknown" : `camera ${names.get(entry.camera) ?? entry.camera}`;
    at("query-about").textContent = [
      entry.person === null ? null : `#${entry.person}`, camera, showTime(timeOf(entry, unit), unit), entry.path,
    ].filter(Boolean).join(" · ");
  }
}

function lookForPicture(file) {
  if (!file) return;
  const number = pictures.size + 1;
  pictures.set(number, { picture: file, shown: URL.createObjectURL(file) });
  history.pushState({ picture: number }, "", "#");
  followAddress();
}

function lookForEntry(id) {
  history.pushState({}, "", `#${id}`);
  followAddress();
}

function followAddress() {
  const id = location.hash.slice(1);
  query = /^[0-9a-f]{16}$/.test(id) ? { id } : pictures.get(history.state?.picture) ?? null;
  at("file").value = "";
  search(true);
}

// ---------------------------------------------------------------- how

function parseTime(input) {
  const text = input.value.trim();
  const fits = unit === "s" ? /^-?\d+(\.\d+)?$|^(\d+:)?\d+:\d\d$/ : /^\d+$/;
  const valid = text === "" || fits.test(text);
  input.setAttribute("aria-invalid", String(!valid));
  if (!valid || text === "") return null;
  return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

function settings() {
  const asked = new URLSearchParams({ k: at("k").value, group: at("group").value, rerank: at("rerank").checked });
  for (const box of at("cameras").querySelectorAll("input:checked")) asked.append("only_camera", box.value);
  for (const chip of at("attributes").querySelectorAll("button")) asked.append("attribute", chip.dataset.attribute);
  for (const side of ["from", "to"]) {
    const value = parseTime(at(side));
    if (value !== null) asked.append(unit === "s" ? `${side}_s` : `${side}_frame`, value);
  }
  return asked;
}

function timeRange() {
  const known = unit === "s" ? [facts.from_s, facts.to_s] : [facts.from_frame, facts.to_frame];
  return [parseTime(at("from")) ?? known[0], parseTime(at("to")) ?? known[1]];
}

// ---------------------------------------------------------------- what was found

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

async function search(fresh = false) {
  running?.abort();
  const own = new AbortController();
  running = own;
  document.body.classList.add("busy");
  const options = { signal: own.signal, waiting: (seconds) => say(`The server is busy; again in ${seconds} s`) };
  try {
    if (query === null) {
      await showQuery(null);
      await listPeople(own.signal);
      return;
    }
    at("more").hidden = true;
    at("results-title").textContent = "Matches";
    const asked = settings();
    let entry = null;
    let answer;
    const start = performance.now();
    if (query.picture) {
      if (fresh) await showQuery(null);
      if (at("own-camera").value) asked.append("camera", at("own-camera").value);
      const body = new FormData();
      body.append("image", query.picture);
      answer = await ask(`/search?${asked}`, { ...options, method: "POST", body });
    } else {
      entry = await ask(`/entries/${query.id}`, options);
      if (fresh) await showQuery(entry);
      const room = Math.min(Number(asked.get("k")) + 1, facts.max_hits);
      asked.set("k", room);
      asked.append("id", query.id);
      answer = await ask(`/search?${asked}`, options);
    }
    const took = performance.now() - start;
    const hits = answer.hits.filter((hit) => hit.id !== query.id).slice(0, Number(at("k").value));
    showMatches(at("hits"), hits, { names, unit, choose: lookForEntry });
    showTimeline(at("timeline"), hits, {
      query: entry, names, cameras: facts.cameras, unit, range: timeRange(), cards: at("hits"),
    });
    const order = at("rerank").checked ? ", ordered by common neighbours" : "";
    say(hits.length ? `${hits.length} of ${facts.images} images in ${Math.round(took)} ms${order}` : "No image passes the filters");
  } catch (error) {
    if (own.signal.aborted) return;
    at("hits").replaceChildren();
    at("timeline").hidden = true;
    say(error.status === 404 ? "This image is no longer in the gallery" : error.message, true);
  } finally {
    if (running === own) document.body.classList.remove("busy");
  }
}

async function listPeople(signal, offset = 0) {
  const found = await ask(`/identities?offset=${offset}&limit=${PEOPLE_AT_ONCE}`, { signal });
  at("timeline").hidden = true;
  at("results-title").textContent = found.total ? "People in this gallery" : "Nobody here has a name yet";
  say(found.total ? "Choose someone to search for, or bring a picture" : "Bring a picture to search with");
  showPeople(at("hits"), found.people, { names, choose: lookForEntry, append: offset > 0 });
  at("more").hidden = offset + found.people.length >= found.total;
  at("more").onclick = () => listPeople(undefined, offset + found.people.length);
}

// ---------------------------------------------------------------- filters of this gallery

function option(value, text = value) {
  return new Option(text, value);
}

function chip(value, text) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  const shown = document.createElement("span");
  label.className = "chip";
  box.type = "checkbox";
  box.value = value;
  shown.textContent = text;
  label.append(box, shown);
  return label;
}

function addAttribute() {
  const text = `${at("attribute").value}=${at("value").value}`;
  if (!at("value").value || at("attributes").querySelector(`[data-attribute="${CSS.escape(text)}"]`)) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "chip";
  button.dataset.attribute = text;
  button.textContent = `${at("attribute").value.replaceAll("_", " ")}: ${at("value").value} ×`;
  button.setAttribute("aria-label", `Do not ask for ${text.replace("=", " ")}`);
  button.addEventListener("click", () => {
    button.remove();
    at("attribute").focus();
    search();
  });
  at("attributes").append(button);
}

function offerFilters() {
  const known = facts.from_s !== null && facts.to_s > facts.from_s;
  unit = known ? "s" : facts.from_frame !== null ? "frame" : null;
  names = new Map([...facts.known_cameras, ...facts.cameras].map(({ camera, name }) => [camera, name]));
  at("facts").textContent =
    `${facts.images.toLocaleString("en")} images · ${facts.people.toLocaleString("en")} people · ${facts.cameras.length} cameras`;
  at("k").replaceChildren(...KS.filter((k) => k <= facts.max_hits).map((k) => option(k, `${k} matches`)));
  at("k").value = 20;
  at("own-camera").replaceChildren(option("", "unknown"),
    ...facts.known_cameras.map(({ camera, name }) => option(camera, `camera ${name}`)));
  at("cameras").replaceChildren(...facts.cameras.map(({ camera, name }) => chip(camera, name)));
  at("cameras-part").hidden = facts.cameras.length < 2;
  at("time-part").hidden = unit === null;
  if (unit === "s") at("time-hint").textContent = `${clock(facts.from_s)} to ${clock(facts.to_s)}, h:mm:ss or seconds`;
  if (unit === "frame") at("time-hint").textContent = `frame numbers ${facts.from_frame} to ${facts.to_frame}`;
  const attributes = Object.keys(facts.attributes);
  at("attributes-part").hidden = attributes.length === 0;
  at("attribute").replaceChildren(option("", "choose"), ...attributes.map((name) => option(name, name.replaceAll("_", " "))));
  at("value").replaceChildren(option("", "value"));
}

function listen() {
  at("filters").open = !matchMedia("(max-width: 820px)").matches;
  at("ask").addEventListener("submit", (event) => event.preventDefault());
  at("ask").addEventListener("change", (event) => {
    if (event.target === at("file")) return lookForPicture(at("file").files[0]);
    if (event.target === at("attribute")) {
      const values = facts.attributes[at("attribute").value] ?? [];
      at("value").replaceChildren(option("", "value"), ...values.map((value) => option(value)));
      at("value").disabled = values.length === 0;
      return undefined;
    }
    if (event.target === at("value")) addAttribute();
    return query === null ? undefined : search();
  });
  at("clear").addEventListener("click", () => {
    for (const box of at("cameras").querySelectorAll("input")) box.checked = false;
    for (const id of ["from", "to", "attribute", "value"]) at(id).value = "";
    at("value").disabled = true;
    at("attributes").replaceChildren();
    if (query !== null) search();
  });
  addEventListener("popstate", followAddress);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address stays that of the search
    at("results").focus();
  });
  addEventListener("paste", (event) => lookForPicture([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    lookForPicture(event.dataTransfer.files[0]);
  });
  rove(at("hits"), ".match");
  rove(at("timeline"), "button");
}

try {
  facts = await ask("/gallery");
  offerFilters();
  listen();
  followAddress();
} catch (error) {
  say(`The server cannot be reached: ${error.message}`, true);
}
