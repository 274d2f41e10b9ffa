// Keeps a part of a page fresh while something in it is under way. What somebody types beside it stays.
"use strict";

const PAUSE = 1000; // milliseconds between two looks
const shown = () => document.getElementById("fresh");

async function look() {
  let answer;
  try {
    answer = await fetch(location.href, { headers: { accept: "text/html" } });
  } catch {
    return; // the server is away: the next look may find it
  }
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("fresh");
  if (!fresh) return location.reload(); // another page now, such as the one to sign in
  if (fresh.outerHTML === shown().outerHTML) return;
  const focused = document.activeElement.id;
  shown().replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus();
  document.getElementById("told").textContent = page.getElementById("told").textContent;
}

async function follow() {
  while ("busy" in shown().dataset) {
    await new Promise((done) => setTimeout(done, PAUSE));
    await look();
  }
}
follow();
