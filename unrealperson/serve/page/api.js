// Requests to the server: the token where it wants one, another try where it is busy, pictures.

const TOKEN = "unrealperson-token";
const TRIES = 4;
let asked = null;

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

function authorization() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

// Asks for the token once, however many requests need it.
function askForToken() {
  if (asked) return asked;
  const dialog = document.getElementById("token-dialog");
  const form = document.getElementById("token-form");
  asked = new Promise((resolve) => {
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, document.getElementById("token").value.trim());
      dialog.close();
      asked = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asked;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function request(url, { method = "GET", body, signal, waiting } = {}) {
  for (let tried = 1; ; tried += 1) {
    const answer = await fetch(url, { method, body, signal, headers: authorization() });
    if (answer.ok) return answer;
    if (answer.status === 401) {
      await askForToken();
      continue;
    }
    if (answer.status === 429 && tried < TRIES) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      waiting?.(seconds);
      await pause(seconds, signal);
      continue;
    }
    const told = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, told.detail || `the server answers ${answer.status}`);
  }
}

export async function ask(url, options) {
  return (await request(url, options)).json();
}

// An image element cannot bring a token, so with one its bytes are fetched.
export async function showPicture(image, entry, heightPx) {
  const url = `/thumbnails/${entry}?height_px=${heightPx}`;
  image.addEventListener("error", () => image.classList.add("missing-picture"), { once: true });
  if (!sessionStorage.getItem(TOKEN)) {
    image.src = url;
    return;
  }
  try {
    const blob = URL.createObjectURL(await (await request(url)).blob());
    image.addEventListener("load", () => URL.revokeObjectURL(blob), { once: true });
    image.src = blob;
  } catch {
    image.classList.add("missing-picture");
  }
}
