// Follows a run while it works. The page is whole without this: it is then loaded again every few seconds.
"use strict";

const LINES = 200; // as many as the page itself shows
const live = document.getElementById("live");
const bar = document.getElementById("bar");
const doing = document.getElementById("doing");
const lines = document.getElementById("lines");
const quiet = document.getElementById("quiet");

const because = (reason) => (reason ? ` (${reason})` : "");
const said = {
  run_started: (event) => `${event.job}: ${event.left} and ${event.right}`,
  planned: (event) => `planned: ${event.actions} to do`,
  item_finished: (event) => `${event.outcome}: ${event.action.replaceAll("_", " ")} ${event.key}${because(event.error)}`,
  warned: (event) => `warning: ${event.message}`,
  run_finished: (event) => `finished: ${event.status}${because(event.reason)}`,
};
const size = (bytes) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; Math.round(bytes) >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${bytes.toFixed(unit === 0 || bytes >= 999.95 ? 0 : 1)} ${units[unit]}`;
};

function write(event) {
  const below = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 8;
  const line = document.createElement("li");
  line.className = event.event;
  line.textContent = said[event.event](event); // as text: keys hold anything
  lines.append(line);
  if (lines.children.length > LINES) lines.firstElementChild.remove();
  lines.hidden = false;
  quiet.hidden = true;
  if (below) lines.scrollTop = lines.scrollHeight; // unless somebody reads further up
}

const stream = new EventSource(live.dataset.events);
// It comes from its beginning when it is opened for the first time.
stream.addEventListener("open", () => lines.replaceChildren(), { once: true });
for (const name of Object.keys(said)) stream.addEventListener(name, (message) => write(JSON.parse(message.data)));
stream.addEventListener("run_started", () => {
  const badge = document.querySelector("#state .badge");
  badge.className = "badge started";
  badge.textContent = "running"; // it may have waited when the page was made
});
stream.addEventListener("listing", (message) => {
  const event = JSON.parse(message.data);
  doing.textContent = `Listing: ${event.left_entries.toLocaleString()} left, ${event.right_entries.toLocaleString()} right`;
});
stream.addEventListener("progress", (message) => {
  const event = JSON.parse(message.data);
  bar.max = Math.max(event.actions, 1);
  bar.value = event.actions_done;
  const current = event.current ? `, ${event.current}` : "";
  doing.textContent = `${event.actions_done} of ${event.actions}, ${size(event.bytes_done)} of ${size(event.bytes)}${current}`;
});
stream.addEventListener("error", () => {
  // It comes back by itself, unless the server refuses it.
  if (stream.readyState === EventSource.CLOSED) doing.textContent = "The server tells no more. Load this page again.";
});
stream.addEventListener("end", () => {
  stream.close();
  location.reload(); // how it ended is on the page
});
