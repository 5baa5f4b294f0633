// What a click does on a page. All of it can be read without this script.
(() => {
  "use strict";

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, given, ...children) => {
    const made = Object.assign(document.createElement(tag), given);
    made.append(...children);
    return made;
  };
  const button = (content, act, given) => {
    const made = make("button", { type: "button", ...given }, ...[content].flat());
    made.addEventListener("click", act);
    return made;
  };
  const small = (text) => make("small", { textContent: text });
  const tagsOf = (element) => JSON.parse(element.dataset.tags ?? "[]");
  const byName = new Intl.Collator(undefined, { numeric: true }).compare;

  // Chips: a line of buttons of which one is pressed. choose is told its tag, "" for all

  const CHIPS = 14; // seen at once

  // Tags that stand first in their list, or are confusions, by how often they come; the others, and those that end in a
  // number, by name
  const countTags = (tagged) => {
    const found = new Map();
    for (const tags of tagged)
      tags.forEach((tag, place) => {
        const { number, named } = found.get(tag) ?? { number: 0, named: true };
        const other = (place > 0 && !tag.includes(" → ")) || /^\D*\d+$/.test(tag);
        found.set(tag, { tag, number: number + 1, named: named && other });
      });
    const order = (a, b) => a.named - b.named || (a.named ? 0 : b.number - a.number) || byName(a.tag, b.tag);
    return [...found.values()].sort(order);
  };

  const chips = (label, tagged, choose) => {
    const made = new Map();
    const select = (tag) => {
      for (const [name, chip] of made) chip.ariaPressed = String(name === tag);
      made.get(tag).hidden = false;
      choose(tag);
    };
    for (const { tag, number } of [{ tag: "", number: tagged.length }, ...countTags(tagged)]) {
      const press = () => select(made.get(tag).ariaPressed === "true" ? "" : tag);
      made.set(tag, button([tag || "all", " ", small(number)], press, { ariaPressed: String(!tag) }));
    }
    const box = make("div", { className: "chips", role: "group", ariaLabel: label }, ...made.values());
    const spare = [...made.values()].slice(CHIPS + 1);
    for (const chip of spare) chip.hidden = true;
    const more = button(`${spare.length} more …`, () => {
      for (const chip of spare) chip.hidden = false;
      more.remove();
    });
    if (spare.length) box.append(more);
    return { box, select };
  };

  // Tables: heads that sort, chips and words that filter, rows that are folded

  const LONG = 12; // rows; longer tables can be searched
  const UNITS = { s: 1, min: 60, h: 3600, d: 86400, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

  // "1 min 30 s" is 90, "0.51 (0.49 to 0.53)" is 0.51, "-" is NaN
  const numberIn = (cell) => {
    if (cell.dataset.value) return Number(cell.dataset.value);
    const text = cell.textContent.replace(/,/g, "").replace(/[−–]/g, "-");
    const parts = [...text.matchAll(/([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([A-Za-z]*)/g)];
    if (!(parts[0]?.[2] in UNITS)) return Number(parts[0]?.[1]);
    return parts.reduce((sum, [, value, unit]) => sum + Number(value) * (UNITS[unit] ?? 0), 0);
  };

  const sortRows = (body, column, asText, up) => {
    const key = ({ cells }) => (asText ? cells[column].textContent.trim() : numberIn(cells[column]));
    const missing = ({ value }) => value === "" || value === "-" || Number.isNaN(value);
    const compare = asText ? byName : (a, b) => a - b;
    const keyed = [...body.rows].map((row) => ({ row, value: key(row) }));
    keyed.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : compare(a.value, b.value) * (up ? 1 : -1)));
    body.append(...keyed.map(({ row }) => row));
  };

  const sortableHead = (body, column, head, refresh) => {
    const asText = head.classList.contains("text");
    const sort = () => {
      const up = head.ariaSort ? head.ariaSort === "descending" : asText;
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.ariaSort = up ? "ascending" : "descending";
      sortRows(body, column, asText, up);
      refresh();
    };
    if (head.textContent) head.replaceChildren(button([...head.childNodes], sort));
  };

  const setUpTable = (box) => {
    const body = box.querySelector("tbody");
    const rows = [...body.rows];
    const folded = Number(box.dataset.folded ?? Infinity);
    const chosen = { tag: "", words: "", open: false };
    const set = (change) => refresh(Object.assign(chosen, change));
    const more = button("", () => set({ open: true }), { className: "more" });
    const shown = make("span", { className: "status", role: "status" });
    const refresh = () => {
      let number = 0;
      for (const row of body.rows) {
        const tagged = !chosen.tag || tagsOf(row).includes(chosen.tag);
        row.hidden = !tagged || !row.textContent.toLowerCase().includes(chosen.words);
        number += !row.hidden;
        row.classList.toggle("rest", !chosen.open && number > folded);
      }
      shown.textContent = number < rows.length ? `${number} of ${rows.length}` : "";
      more.hidden = chosen.open || number <= folded;
      more.textContent = `show all ${number}`;
    };
    if (rows.length > 2)
      all("thead th", box).forEach((head, column) => sortableHead(body, column, head, refresh));
    const controls = make("div", { className: "chips" });
    if (rows.some((row) => tagsOf(row).length))
      controls.append(chips("rows shown", rows.map(tagsOf), (tag) => set({ tag })).box);
    if (rows.length > LONG) {
      const label = `filter ${rows.length} rows`;
      const search = make("input", { type: "search", placeholder: label, ariaLabel: label });
      search.addEventListener("input", () => set({ words: search.value.trim().toLowerCase() }));
      controls.append(search);
    }
    if (controls.childNodes.length) box.prepend(controls);
    controls.append(shown);
    box.append(more);
    refresh();
  };

  // Galleries: tabs, chips, and only so many, and so many of those alike, until "more" is pressed

  const SEEN = matchMedia("(max-width: 600px)").matches ? 12 : 24;
  const galleries = new Map();

  const setUpGallery = (box) => {
    const figures = all("figure", box).map((figure) => {
      const tags = tagsOf(figure);
      return { figure, tab: "tabs" in box.dataset ? tags.shift() : "", tags };
    });
    const tabs = [...new Set(figures.map(({ tab }) => tab))];
    const tabLine = make("div", { className: "chips", role: "group", ariaLabel: "kinds of pictures" });
    const alike = Number(box.dataset.alike ?? Infinity);
    const chosen = { tab: "", tag: "", open: false };
    const set = (change) => refresh(Object.assign(chosen, change));
    const more = button("", () => set({ open: true }), { className: "more" });
    let filter = null;
    const refresh = () => {
      const seen = new Map();
      let [number, spare] = [0, 0];
      for (const { figure, tab, tags } of figures) {
        figure.hidden = tab !== chosen.tab || (chosen.tag && !tags.includes(chosen.tag));
        if (!figure.hidden) seen.set(tags[0], (seen.get(tags[0]) ?? 0) + 1);
        const many = tags.length > 0 && !chosen.tag && seen.get(tags[0]) > alike;
        const over = !figure.hidden && !chosen.open && (many || number >= SEEN);
        figure.classList.toggle("rest", over);
        number += !figure.hidden && !over;
        spare += over;
      }
      more.hidden = !spare;
      more.textContent = `${spare} more`;
    };
    const openTab = (tab) => {
      tabs.forEach((one, at) => tabLine.children[at].ariaPressed = String(one === tab));
      filter?.box.remove();
      const tagged = figures.filter((one) => one.tab === tab).map(({ tags }) => tags);
      filter = chips("pictures shown", tagged, (tag) => set({ tag }));
      if (tagged.some((tags) => tags.length)) box.before(filter.box);
      set({ tab, tag: "", open: false });
    };
    const find = (tag) => figures.find(({ tags }) => tags.includes(tag));
    const show = (tag) => {
      if (find(tag).tab !== chosen.tab) openTab(find(tag).tab);
      filter.select(tag);
      filter.box.scrollIntoView({ block: "start" });
      filter.box.querySelector("[aria-pressed=true]").focus({ preventScroll: true });
    };
    tabLine.append(...tabs.map((tab) => button(tab, () => openTab(tab))));
    if (tabs.length > 1) box.before(tabLine);
    box.after(more);
    if (box.dataset.command) addChoice(box);
    if (figures.length) openTab(tabs[0]);
    if (box.dataset.key) galleries.set(box.dataset.key, { find, show });
  };

  // Boxes below pictures that write a command
  const addChoice = (box) => {
    const lines = box.dataset.command.split("\n").map((command) => ({ command, code: make("code") }));
    const texts = lines.map(({ code }) => make("div", {}, code, " ", copyButton(code)));
    const chosen = make("div", { className: "chosen", hidden: true }, ...texts);
    box.after(chosen);
    box.addEventListener("change", () => {
      const values = all(".choice input:checked", box).map((one) => one.value);
      chosen.hidden = !values.length;
      for (const { command, code } of lines) code.textContent = [command, ...values].join(" ");
    });
  };

  // A confusion matrix: a cell shows its pictures
  const setUpMatrix = (box) => {
    const gallery = galleries.get(box.dataset.gallery);
    for (const cell of all("td[data-tag]", box)) {
      if (!gallery?.find(cell.dataset.tag)) continue;
      const title = `${cell.title}; show pictures`;
      cell.replaceChildren(button(cell.textContent, () => gallery.show(cell.dataset.tag), { title, ariaLabel: title }));
    }
  };

  // A button that copies; where the browser won't, the words are left selected
  const copyButton = (code) => {
    const copy = async () => {
      getSelection().selectAllChildren(code);
      const done = await navigator.clipboard?.writeText(code.textContent).then(() => true, () => false);
      const copied = done || document.execCommand("copy");
      if (copied) getSelection().removeAllRanges();
      made.textContent = copied ? "copied" : "press Ctrl+C";
      setTimeout(() => (made.textContent = "copy"), 2500);
    };
    const made = button("copy", copy, { className: "copy", ariaLive: "polite" });
    return made;
  };

  // Behind the full stop or comma that follows. A line ends between words, never after the dashes of an option
  const addCopy = (code) => {
    const words = code.textContent.split(" ").flatMap((word) => [" ", make("span", { textContent: word })]);
    code.replaceChildren(...words.slice(1));
    const next = code.nextSibling;
    const stop = next?.nodeType === Node.TEXT_NODE && /^[.,;:)]/.test(next.data);
    if (stop && next.length > 1) next.splitText(1);
    (stop ? next : code).after(" ", copyButton(code));
  };

  // The lightbox: left and right for the figure, up and down or 1 to 9 for the layer

  const setUpLightbox = () => {
    const image = make("img");
    const caption = make("p", { ariaLive: "polite" });
    const names = make("span", { className: "names" });
    const place = make("span", { className: "status" });
    const now = { figures: [], at: 0, layer: 0 };
    const pictures = () => all(".picture", now.figures[now.at]);
    const show = () => {
      const shown = pictures();
      const source = shown[now.layer].querySelector("img");
      Object.assign(image, { src: source.src, alt: source.alt });
      image.className = source.className;
      const words = all("figcaption", now.figures[now.at]).flatMap((one) => [...one.cloneNode(true).childNodes]);
      caption.replaceChildren(...words);
      place.textContent = `${now.at + 1} of ${now.figures.length}`;
      names.replaceChildren(...(shown.length > 1 ? shown : []).map(({ dataset }, at) =>
        button(`${at + 1} ${dataset.layer}`, () => turn(0, at - now.layer), { ariaPressed: String(at === now.layer) })));
    };
    const turn = (figure, layer) => {
      now.at = (now.at + figure + now.figures.length) % now.figures.length;
      now.layer = (now.layer + layer + pictures().length) % pictures().length;
      show();
    };
    const previous = button("←", () => turn(-1, 0), { ariaLabel: "previous picture" });
    const next = button("→", () => turn(1, 0), { ariaLabel: "next picture" });
    const close = button("close", () => dialog.close(), { className: "close" });
    const line = make("div", { className: "names" }, previous, place, next, names, close);
    const dialog = make("dialog", { ariaLabel: "picture, enlarged" }, line, image, caption);
    const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    dialog.addEventListener("keydown", (event) => {
      const digit = event.key >= "1" && event.key <= String(pictures().length);
      const step = KEYS[event.key] ?? (digit && [0, event.key - 1 - now.layer]);
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      turn(...step);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    return (link) => {
      const figure = link.closest("figure");
      const figures = all("figure:not([hidden], .rest)", link.closest(".gallery"));
      Object.assign(now, { figures, at: figures.indexOf(figure), layer: all(".picture", figure).indexOf(link) });
      show();
      dialog.showModal();
    };
  };

  const enlargeBy = (open) => (link) => {
    const act = (event) => {
      const meant = event.type === "click" || event.key === "Enter" || event.key === " ";
      if (!meant || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open(link);
    };
    Object.assign(link, { role: "button", tabIndex: 0, onclick: act, onkeydown: act });
  };

  // Drawings: a legend that hides groups, and the nearest point's name and value beside the pointer

  const tip = make("div", { className: "tip", hidden: true });

  const tell = (content, { x, y }) => {
    tip.replaceChildren(...content);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? y - height - 12 : y + 18}px`;
  };

  // Points as places on the drawing, the group that each belongs to, and what is told of it
  const linePoints = ({ series, frame: [left, top, width, height], range: [x0, x1, y0, y1], x: unit }) =>
    series.flatMap(({ name, group, x: xs, y: ys }) => xs.map((x, at) => {
      const place = { x: left + ((x - x0) / (x1 - x0)) * width, y: top + ((y1 - ys[at]) / (y1 - y0)) * height };
      return { ...place, group: `0:${group}`, told: () => [`${name}: ${ys[at]}`, make("br"), `${unit} ${x}`] };
    }));

  const thumbnail = (sheet, at, { side, columns }) => {
    const made = make("canvas", { width: 96, height: 96 });
    const from = [(at % columns) * side, Math.floor(at / columns) * side];
    made.getContext("2d").drawImage(sheet, ...from, side, side, 0, 0, 96, 96);
    return made;
  };

  const dotPoints = (data, by, sheet) =>
    data.x.map((x, at) => {
      const { names, of } = data.by[by];
      const words = [data.labels[at], names[of[at]]].filter(Boolean).join(": ");
      const told = () => (sheet ? [words, thumbnail(sheet, at, data)] : [words]);
      return { x, y: data.y[at], group: `${by}:${of[at]}`, told };
    });

  const setUpPointer = (svg, state) => {
    const reach = svg.viewBox.baseVal.width / 12;
    const ring = document.createElementNS(svg.namespaceURI, "circle");
    ring.classList.add("here");
    ring.setAttribute("r", reach / 7);
    const seen = () => state.points.filter((one) => !state.off.has(one.group));
    const leave = () => {
      ring.remove();
      tip.hidden = true;
    };
    const point = (one) => {
      ring.setAttribute("transform", `translate(${one.x} ${one.y})`);
      svg.append(ring);
      tell(one.told(), new DOMPoint(one.x, one.y).matrixTransform(svg.getScreenCTM()));
      state.at = one;
    };
    const search = ({ clientX, clientY }) => {
      const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());
      const far = (one) => (one ? Math.hypot(one.x - x, one.y - y) : reach);
      const nearest = seen().reduce((best, one) => (far(one) < far(best) ? one : best), null);
      nearest ? point(nearest) : leave();
    };
    for (const name of ["pointermove", "pointerdown"]) svg.addEventListener(name, search);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const points = seen();
      if (!step || !points.length) return;
      event.preventDefault();
      point(points.at((points.indexOf(state.at) + step) % points.length));
    });
    svg.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || leave());
    svg.addEventListener("blur", leave);
    svg.tabIndex = 0;
  };

  const setUpKey = (box, state) => (key) => {
    const { group } = key.dataset;
    const toggle = () => {
      state.off.delete(group) || state.off.add(group);
      made.ariaPressed = String(!state.off.has(group));
      for (const one of all(`g[data-group="${group}"]`, box)) one.classList.toggle("off", state.off.has(group));
    };
    const made = button([...key.childNodes], toggle, { className: key.className, ariaPressed: "true" });
    made.style.cssText = key.style.cssText;
    key.replaceWith(made);
  };

  const setUpDrawing = (box) => {
    const data = JSON.parse(box.querySelector("script").textContent);
    const state = { off: new Set(), points: [], at: null };
    const open = (by) => {
      all("svg > g", box).forEach((one, at) => one.classList.toggle("off", at !== by));
      all(".keys", box).forEach((one, at) => (one.hidden = at !== by));
      choices.forEach((one, at) => (one.ariaPressed = String(at === by)));
      state.points = data.by ? dotPoints(data, by, box.querySelector(".sprite")) : linePoints(data);
    };
    const choices = (data.by ?? []).map(({ name }, by) => button(name, () => open(by)));
    if (choices.length > 1) box.prepend(make("div", { className: "chips" }, "colour by", ...choices));
    all("span.key", box).forEach(setUpKey(box, state));
    setUpPointer(box.querySelector("svg"), state);
    open(0);
  };

  // The jump menu marks where the reader is
  const setUpMenu = () => {
    const links = all('nav a[href^="#"]');
    const mark = (id) => links.forEach((link) => (link.ariaCurrent = String(link.hash === `#${id}`)));
    const watch = new IntersectionObserver(
      (entries) => entries.filter((one) => one.isIntersecting).forEach(({ target }) => mark(target.id)),
      { rootMargin: "-15% 0px -75% 0px" },
    );
    for (const section of all("section[id]")) watch.observe(section);
  };

  all(".table").forEach(setUpTable);
  all(".gallery").forEach(setUpGallery);
  all(".matrix").forEach(setUpMatrix);
  all("code.command").forEach(addCopy);
  all(".drawing").forEach(setUpDrawing);
  all(".gallery .picture").forEach(enlargeBy(setUpLightbox()));
  setUpMenu();
  document.body.append(tip);
  addEventListener("beforeprint", () => all("details").forEach((one) => (one.open = true)));
})();
