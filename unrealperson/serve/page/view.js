// Draws matches, people and the timeline. What is clicked is told to `choose`.

import { showPicture } from "/page/api.js";

const TICKS = 5;
const STACK_PX = 5;
const NEAR_SHARE = 0.012;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function clock(seconds) {
  const whole = Math.floor(Math.abs(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const text = parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
  return (seconds < 0 ? "-" : "") + text;
}

// Seconds where they are known, else frame numbers; null where neither is.
export function timeOf(entry, unit) {
  return unit === "s" ? entry.time_s : entry.frame;
}

export function showTime(value, unit) {
  if (value === null || value === undefined) return "time unknown";
  return unit === "s" ? clock(value) : `frame ${value}`;
}

function picture(entry, rank, label) {
  const image = make("img");
  image.alt = label;
  image.loading = "lazy";
  showPicture(image, entry, 256);
  const frame = make("span", "picture", image);
  if (rank) frame.append(make("span", "rank", String(rank)));
  return frame;
}

function meter(similarity) {
  const bar = make("i");
  bar.style.width = `${Math.round(100 * Math.max(0, similarity))}%`;
  const whole = make("span", "meter", bar);
  whole.setAttribute("aria-hidden", "true");
  return whole;
}

export function showMatches(list, hits, { names, unit, choose }) {
  list.replaceChildren(...hits.map((hit, place) => {
    const camera = hit.camera === null ? "camera unknown" : `camera ${names.get(hit.camera) ?? hit.camera}`;
    const score = make("span", "score", hit.similarity.toFixed(3), meter(hit.similarity));
    const button = make("button", "match", picture(hit.id, place + 1, `Match ${place + 1}`), score,
      make("span", "line-two", make("span", "", camera)),
      make("span", "line-two quiet", make("span", "", showTime(timeOf(hit, unit), unit))));
    if (hit.person !== null) button.lastChild.append(make("span", "", `#${hit.person}`));
    if (hit.same !== null) {
      button.append(make("span", hit.same ? "yes" : "no", hit.same ? "✓ same person" : "below the threshold"));
    }
    button.type = "button";
    button.dataset.entry = hit.id;
    button.title = `${hit.path}\nSearch on from this image`;
    button.addEventListener("click", () => choose(hit.id));
    return make("li", "", button);
  }));
}

export function showPeople(list, people, { names, choose, append }) {
  const items = people.map((person) => {
    const seen = person.cameras.map((camera) => names.get(camera) ?? camera).join(", ");
    const button = make("button", "match", picture(person.entry, 0, `Person ${person.person}`),
      make("span", "score", `#${person.person}`),
      make("span", "line-two", `${person.images} image${person.images === 1 ? "" : "s"}`),
      make("span", "line-two quiet", `${person.cameras.length} camera${person.cameras.length === 1 ? "" : "s"}`));
    button.type = "button";
    button.title = `Cameras ${seen}\nSearch for this person`;
    button.addEventListener("click", () => choose(person.entry));
    return make("li", "", button);
  });
  if (append) list.append(...items);
  else list.replaceChildren(...items);
}

// One lane for each camera, a dot for each match; the query, where its time is known, is the diamond.
export function showTimeline(box, hits, { query, names, cameras, unit, range, cards }) {
  const timed = hits.filter((hit) => hit.camera !== null && timeOf(hit, unit) !== null);
  box.hidden = timed.length === 0;
  if (box.hidden) {
    box.replaceChildren();
    return;
  }
  const [low, high] = range;
  const share = (value) => (high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5);
  const wanted = new Set([...timed.map((hit) => hit.camera), ...(query?.camera != null ? [query.camera] : [])]);
  const tracks = cameras.filter(({ camera }) => wanted.has(camera)).map(({ camera, name }) => {
    const lane = make("div", "lane");
    const own = timed.filter((hit) => hit.camera === camera).sort((a, b) => timeOf(a, unit) - timeOf(b, unit));
    if (query?.camera === camera && timeOf(query, unit) !== null) {
      const mark = make("i");
      mark.style.left = `${100 * share(timeOf(query, unit))}%`;
      mark.title = `the query, ${showTime(timeOf(query, unit), unit)}`;
      lane.append(mark);
    }
    let last = -1;
    let stacked = 0;
    for (const hit of own) {
      const left = share(timeOf(hit, unit));
      stacked = left - last < NEAR_SHARE ? stacked + 1 : 0;
      last = left;
      const dot = make("button");
      const text = `camera ${name}, ${showTime(timeOf(hit, unit), unit)}, score ${hit.similarity.toFixed(3)}`;
      dot.type = "button";
      dot.title = text;
      dot.setAttribute("aria-label", `Match ${hits.indexOf(hit) + 1}: ${text}`);
      dot.style.left = `${100 * left}%`;
      dot.style.translate = `0 ${((stacked % 3) - 1) * (stacked ? STACK_PX : 0)}px`;
      dot.style.opacity = String(0.35 + 0.65 * Math.max(0, 1 - hits.indexOf(hit) / hits.length));
      const card = cards.querySelector(`[data-entry="${hit.id}"]`);
      const light = (on) => [dot, card].forEach((element) => element?.classList.toggle("lit", on));
      for (const element of [dot, card]) {
        for (const name of ["pointerenter", "focus"]) element?.addEventListener(name, () => light(true));
        for (const name of ["pointerleave", "blur"]) element?.addEventListener(name, () => light(false));
      }
      dot.addEventListener("click", () => card?.focus());
      lane.append(dot);
    }
    const label = make("b", "", name, " ", make("small", "", `${own.length}`));
    label.title = `camera ${name}: ${own.length} match${own.length === 1 ? "" : "es"}`;
    return make("div", "track", label, lane);
  });
  const axis = make("div", "lane axis");
  for (let tick = 0; tick < TICKS; tick += 1) {
    const value = low + ((high - low) * tick) / (TICKS - 1);
    const text = make("span", "", unit === "s" ? clock(value) : String(Math.round(value)));
    text.style.left = `${(100 * tick) / (TICKS - 1)}%`;
    axis.append(text);
  }
  box.replaceChildren(...tracks, make("div", "track", make("small", "quiet", unit === "s" ? "time" : "frame"), axis));
}

// One stop of the Tab key for many buttons: arrow keys move between them, Home and End to the ends.
export function rove(container, selector) {
  const buttons = () => [...container.querySelectorAll(selector)];
  const settle = () => buttons().forEach((button, place, all) => {
    button.tabIndex = place === Math.max(0, all.indexOf(document.activeElement)) ? 0 : -1;
  });
  new MutationObserver(settle).observe(container, { childList: true });
  container.addEventListener("focusin", settle);
  container.addEventListener("keydown", (event) => {
    const all = buttons();
    const here = all.indexOf(document.activeElement);
    if (here < 0) return;
    const goal = {
      ArrowRight: () => all[here + 1],
      ArrowLeft: () => all[here - 1],
      ArrowDown: () => beyond(all, here, 1),
      ArrowUp: () => beyond(all, here, -1),
      Home: () => all[0],
      End: () => all[all.length - 1],
    }[event.key]?.();
    if (!goal) return;
    event.preventDefault();
    goal.focus();
  });
}

// The nearest button of the next row, or of the row before.
function beyond(all, here, direction) {
  const from = all[here].getBoundingClientRect();
  let best;
  let least = Infinity;
  for (const button of all) {
    const box = button.getBoundingClientRect();
    const down = direction * (box.top - from.top);
    if (down < from.height / 2) continue;
    const away = 4 * down + Math.abs(box.left - from.left);
    if (away < least) [best, least] = [button, away];
  }
  return best;
}
