// The buttons on the first page: each asks the server something, past the browser's own cache.

const STYLE = "style.css";

const questions = {
  whole: () => ask(STYLE),
  range: () => ask(STYLE, { Range: "bytes=0-99" }),
  unchanged: async () => {
    const first = await fetch(STYLE, { method: "HEAD", cache: "no-store" });
    return ask(STYLE, { "If-None-Match": first.headers.get("etag") ?? '"none"' });
  },
  listing: () => ask("files/", { Accept: "application/json" }),
  missing: () => ask("no-such-file"),
};

const SHOWN = ["content-type", "content-length", "content-range", "content-encoding", "etag", "last-modified", "vary"];
const BODY_CHARACTERS_MAX = 120;

async function ask(path, headers = {}) {
  const began = performance.now();
  const reply = await fetch(path, { headers, cache: "no-store" });
  const body = await reply.text();
  const took = (performance.now() - began).toFixed(1);

  const asked = Object.entries(headers).map(([name, value]) => `  ${name}: ${value}`);
  const told = SHOWN.filter((name) => reply.headers.has(name)).map((name) => `  ${name}: ${reply.headers.get(name)}`);
  const start = body.slice(0, BODY_CHARACTERS_MAX).trim();
  return [
    `GET ${path}`,
    ...asked,
    "",
    `${reply.status} ${reply.statusText} in ${took} ms`,
    ...told,
    "",
    start === "" ? "(no body)" : body.length > BODY_CHARACTERS_MAX ? `${start} …` : start,
  ].join("\n");
}

const answer = document.getElementById("answer");

for (const button of document.querySelectorAll("[data-ask]")) {
  button.addEventListener("click", async () => {
    answer.textContent = "…";
    try {
      answer.textContent = await questions[button.dataset.ask]();
    } catch (error) {
      answer.textContent = `No reply: ${error.message}. Is the server still running?`;
    }
  });
}
