// Plays the films of a page, and says the figures of a token that is pointed at.
function element(name, text, settings = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(settings)) made.setAttribute(key, value);
  return made;
}

function makeFilm(place, frames) {
  const screens = JSON.parse(place.dataset.film);
  const image = element("img", "", { alt: "screen" }), tap = element("span", "", { class: "tap" });
  const said = element("p", "", { class: "said" }), problem = element("p", "", { class: "problem" });
  const play = element("button", "Play", { type: "button" }), count = element("span", "");
  const back = element("button", "‹", { type: "button", "aria-label": "one screen back" });
  const on = element("button", "›", { type: "button", "aria-label": "one screen on" });
  const inner = element("div", "", { class: "inner" }), screen = element("div", "", { class: "screen" });
  const controls = element("div", "", { class: "controls" });
  inner.append(image, tap);
  screen.append(inner);
  controls.append(play, back, on, count);
  place.append(screen, said, problem, controls);
  let now = 0, timer = null;
  const show = (number) => {
    now = (number + screens.length) % screens.length;
    const shown = screens[now], last = now === screens.length - 1;
    image.src = frames[shown.frame];
    tap.hidden = !shown.tap;
    if (shown.tap) Object.assign(tap.style, { left: `${shown.tap[0]}%`, top: `${shown.tap[1]}%` });
    said.textContent = last ? place.dataset.end : (shown.said || "(nothing)");
    problem.textContent = shown.problem;
    count.textContent = `${now + 1} of ${screens.length}`;
  };
  const next = () => {
    show(now + 1);
    timer = setTimeout(next, now === screens.length - 1 ? 3000 : 1200);
  };
  const stop = () => { clearTimeout(timer); timer = null; play.textContent = "Play"; };
  const start = () => { if (timer === null) timer = setTimeout(next, 1200); play.textContent = "Pause"; };
  let paused = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  play.addEventListener("click", () => { paused = timer !== null; if (paused) stop(); else start(); });
  for (const [button, step] of [[back, -1], [on, 1]])
    button.addEventListener("click", () => { paused = true; stop(); show(now + step); });
  show(0);
  // Only what is seen moves, and nothing does where somebody asked for no motion.
  new IntersectionObserver((entries) => {
    if (entries.at(-1).isIntersecting && !paused) start(); else stop();
  }).observe(place);
}

function watchTokens() {
  const output = document.getElementById("token");
  const tell = (event) => {
    const token = event.target.closest("[data-kl]");
    if (!token) return;
    const value = token.dataset.value ? `, V ${token.dataset.value}` : "";
    output.textContent = `${JSON.stringify(token.textContent)}: log p - log p of SFT ${token.dataset.kl}${value}`;
  };
  for (const kind of ["pointerover", "click"]) document.addEventListener(kind, tell);
}

const frames = JSON.parse(document.getElementById("frames").textContent);
for (const place of document.querySelectorAll("[data-film]")) makeFilm(place, frames);
if (document.getElementById("token")) watchTokens();
followTheme();
