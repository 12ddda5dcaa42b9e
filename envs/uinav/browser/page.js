// Runs in every page before its own scripts: a clock that stands, and what the device asks of a page.
(() => {
  const START = Date.UTC(2017, 9, 16, 12); // the day of many of the demonstrations
  const nativeFrame = window.requestAnimationFrame.bind(window);
  const nativeTimeout = window.setTimeout.bind(window);

  // The clock: all timers of the page, by when they are due; it moves in `advance` alone.
  let now = 0;
  let last = 0;
  const timers = new Map();
  const add = (run, delay, every) => {
    timers.set(++last, { id: last, due: now + Math.max(1, Number(delay) || 0), run, every });
    return last;
  };
  const calling = (f, args) => () => (typeof f === "function" ? f(...args) : new Function(f)());
  window.setTimeout = (f, delay, ...args) => add(calling(f, args), delay, 0);
  window.setInterval = (f, delay, ...args) => add(calling(f, args), delay, Math.max(1, Number(delay) || 0));
  window.requestAnimationFrame = (f) => add(() => f(now), 16, 0);
  window.requestIdleCallback = (f) => add(() => f({ didTimeout: false, timeRemaining: () => 0 }), 1, 0);
  for (const name of ["clearTimeout", "clearInterval", "cancelAnimationFrame", "cancelIdleCallback"]) {
    window[name] = (id) => void timers.delete(id);
  }
  performance.now = () => now;
  window.Date = new Proxy(Date, {
    construct: (real, args, called) => Reflect.construct(real, args.length ? args : [START + now], called),
    apply: (real) => new real(START + now).toString(),
    get: (real, name) => (name === "now" ? () => START + now : real[name]),
  });

  async function advance(milliseconds) {
    const end = now + milliseconds;
    for (;;) {
      let next = null;
      for (const timer of timers.values()) if (next === null || timer.due < next.due) next = timer;
      if (next === null || next.due > end) break;
      now = Math.max(now, next.due);
      if (next.every) next.due = now + next.every;
      else timers.delete(next.id);
      try {
        next.run();
      } catch (error) {
        console.error(error); // as a browser does: other timers go on
      }
      await null; // promises before the next timer
    }
    now = end;
  }

  // Random numbers before the page is given its seed: the same ones each time. (mulberry32)
  let drawn = 1;
  Math.random = () => {
    drawn = (drawn + 0x6d2b79f5) | 0;
    let bits = Math.imul(drawn ^ (drawn >>> 15), 1 | drawn);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
  };

  // Animations of style sheets know no clock of ours, and a form that is sent would lead out of the page.
  document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = "*, *::before, *::after { transition: none !important; animation: none !important; }";
    document.head.appendChild(style);
  });
  window.addEventListener("submit", (event) => event.preventDefault(), true);

  // Waits for the pictures of the page, which decide how large things are.
  async function loaded() {
    const found = new Set();
    for (const element of document.querySelectorAll("#wrap, #wrap *, .ui-widget, .ui-widget *")) {
      if (element instanceof HTMLImageElement && element.src) found.add(element.src);
      for (const part of [null, "::before", "::after"]) {
        const style = getComputedStyle(element, part);
        for (const value of [style.content, style.backgroundImage]) {
          if (value.startsWith("url(")) found.add(value.slice(5, -2));
        }
      }
    }
    await Promise.all([...found].map((source) => {
      const image = new Image();
      image.src = source;
      return image.decode().catch(() => null);
    }));
  }

  // What MiniWoB++'s own recorder wrote down, and of a closed list what is chosen in it, which it left out.
  async function look() {
    await loaded();
    const page = core.getDOMInfo();
    const choose = (node) => {
      const element = core.previousDOMInfo[node.ref];
      if (element instanceof HTMLSelectElement && node.children.length === 0) {
        node.tag = "INPUT_choice";
        node.value = element.selectedOptions.length ? element.selectedOptions[0].text : "";
      }
      node.children.forEach(choose);
    };
    choose(page);
    if (WOB_DONE_GLOBAL) core.cover_div.style.display = "none"; // it hides the last page from pictures
    const said = core.getUtterance(); // in some tasks with the values in it
    const goal = typeof said === "string" ? said : said.utterance;
    return JSON.stringify({ goal, page, done: WOB_DONE_GLOBAL, reward: WOB_RAW_REWARD_GLOBAL });
  }

  async function begin(seed, milliseconds) {
    await advance(milliseconds);
    core.EPISODE_MAX_TIME = 1e9; // of the page's clock, more than an episode ever takes
    Math.seedrandom(seed);
    core.startEpisodeReal();
    await advance(milliseconds);
    return look();
  }

  async function after(milliseconds) {
    await advance(milliseconds);
    return look();
  }

  // Returns a point where the element with this box is not covered by another: the given one, if that is so there.
  function reach(left, top, right, bottom, x, y) {
    const meant = [...document.querySelectorAll("body *")].filter((element) => {
      const rect = element.getBoundingClientRect();
      return Math.floor(rect.left) === left && Math.floor(rect.top) === top
        && Math.ceil(rect.right) === right && Math.ceil(rect.bottom) === bottom;
    });
    const points = [[x, y]];
    for (let i = 1; i < 20; i++) {
      for (let j = 1; j < 20; j++) points.push([left + (i * (right - left)) / 20, top + (j * (bottom - top)) / 20]);
    }
    const hit = ([across, down]) => meant.some((element) => element.contains(document.elementFromPoint(across, down)));
    return points.find(hit) || [x, y];
  }

  // Returns how a text gets into what is at a point: by keys, chosen, set, or not at all.
  function typing(x, y) {
    const at = document.elementFromPoint(x, y);
    if (at instanceof HTMLSelectElement) return "chosen";
    if (at instanceof HTMLInputElement && ["date", "time", "month", "week", "color", "range"].includes(at.type)) {
      return "set";
    }
    return at !== null && at.select && !at.readOnly && !at.disabled ? "keys" : "";
  }

  function fill(x, y, text) {
    const at = document.elementFromPoint(x, y);
    if (at instanceof HTMLSelectElement) {
      const plain = (words) => words.trim().toLowerCase();
      const texts = [...at.options].map((option) => option.text.trim());
      const wanted = texts.findIndex((each) => plain(each) === plain(text));
      if (wanted < 0) return `there is no choice ${text}, but ${texts.slice(0, 8).join(", ")}`;
      at.selectedIndex = wanted;
    } else {
      at.value = text;
      if (at.value !== text && at.type !== "color") return `a ${at.type} cannot be ${text}`;
    }
    at.focus();
    for (const name of ["input", "change"]) at.dispatchEvent(new Event(name, { bubbles: true }));
    return "";
  }

  // Moves the largest part of the page that can be moved in this direction.
  async function scroll(direction) {
    const key = direction === "up" || direction === "down" ? "scrollTop" : "scrollLeft";
    const [size, room] = key === "scrollTop" ? ["clientHeight", "scrollHeight"] : ["clientWidth", "scrollWidth"];
    const forward = direction === "down" || direction === "right";
    const moves = (part) => {
      if (part[room] <= part[size] + 1 || part[size] < 10) return false;
      const style = getComputedStyle(part);
      const overflow = key === "scrollTop" ? style.overflowY : style.overflowX;
      if (overflow !== "auto" && overflow !== "scroll") return false;
      return forward ? part[key] + part[size] < part[room] - 1 : part[key] > 0;
    };
    const parts = [...document.querySelectorAll("#wrap *")].filter(moves);
    if (parts.length === 0) return `nothing moves ${direction}`;
    const area = (part) => part.clientWidth * part.clientHeight;
    const part = parts.reduce((one, other) => (area(other) > area(one) ? other : one));
    part[key] += (forward ? 0.8 : -0.8) * part[size];
    await new Promise((done) => { // the page is told of it in its next real frame
      nativeFrame(() => nativeFrame(done));
      nativeTimeout(done, 200);
    });
    return "";
  }

  window.perlhf = { advance, begin, after, reach, typing, fill, scroll };
})();
