// What a click does on a page. All of it can be read without this script.
(() => {
  "use strict";

  // Small things

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const make = (tag, given = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), given);
    made.append(...children);
    return made;
  };

  const button = (content, act, className = "") => {
    const made = make("button", { type: "button", className }, ...[content].flat());
    made.addEventListener("click", act);
    return made;
  };

  const press = (made, on) => made.setAttribute("aria-pressed", on);
  const tagsOf = (element) => JSON.parse(element.dataset.tags ?? "[]");
  const byName = new Intl.Collator(undefined, { numeric: true }).compare;

  // Tags: those of the first place by how often they come, the others by name

  const CHIPS = 14;

  const counted = (tagged) => {
    const found = new Map();
    for (const tags of tagged)
      tags.forEach((tag, place) => {
        const one = found.get(tag) ?? { tag, place, count: 0 };
        found.set(tag, one);
        one.place = Math.min(one.place, place);
        one.count += 1;
      });
    const order = (a, b) => a.place - b.place || (a.place ? 0 : b.count - a.count) || byName(a.tag, b.tag);
    return [...found.values()].sort(order);
  };

  // A line of chips of which one is pressed; choose(tag) is told which, "" being all
  const chips = (label, tagged, choose) => {
    const box = make("div", { className: "chips" });
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", label);
    const made = new Map();
    const select = (tag) => {
      for (const [name, chip] of made) press(chip, name === tag);
      if (made.has(tag)) made.get(tag).hidden = false;
      choose(tag);
    };
    const add = (tag, text, count) => {
      const pressed = () => select(made.get(tag).ariaPressed === "true" ? "" : tag);
      made.set(tag, button([text, " ", make("small", { textContent: count })], pressed));
      box.append(made.get(tag));
    };
    add("", "all", tagged.length);
    const found = counted(tagged);
    for (const { tag, count } of found) add(tag, tag, count);
    const spare = [...made.values()].slice(CHIPS + 1);
    if (spare.length > 1) {
      for (const chip of spare) chip.hidden = true;
      const more = button(`${spare.length} more …`, () => {
        for (const chip of spare) chip.hidden = false;
        more.remove();
      });
      box.append(more);
    }
    press(made.get(""), true);
    return { box, select };
  };

  // Tables: heads that sort, chips and words that filter, rows that are folded

  const LONG = 12; // rows, from which on a table can be searched
  const UNITS = { s: 1, min: 60, h: 3600, d: 86400, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

  // "1 min 30 s" is 90, "0.51 (0.49 to 0.53)" is 0.51, "-" is NaN
  const number = (cell) => {
    if (cell.dataset.value) return Number(cell.dataset.value);
    const text = cell.textContent.replace(/,/g, "").replace(/[−–]/g, "-");
    const parts = [...text.matchAll(/([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([A-Za-z]*)/g)];
    if (!parts.length) return NaN;
    if (!(parts[0][2] in UNITS)) return Number(parts[0][1]);
    return parts.reduce((sum, [, value, unit]) => sum + Number(value) * (UNITS[unit] ?? 0), 0);
  };

  const sortBy = (body, column, asText, up) => {
    const key = (row) => (asText ? row.cells[column].textContent.trim() : number(row.cells[column]));
    const rows = [...body.rows].map((row) => [key(row), row]);
    const missing = ([value]) => value === "" || value === "-" || Number.isNaN(value);
    const compare = asText ? byName : (a, b) => a - b;
    rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : (up ? 1 : -1) * compare(a[0], b[0])));
    body.append(...rows.map(([, row]) => row));
  };

  const setUpTable = (box) => {
    const body = box.querySelector("tbody");
    const rows = [...body.rows];
    const folded = Number(box.dataset.folded ?? Infinity);
    const chosen = { tag: "", words: "", open: false };
    const shown = make("span", { className: "status" });
    shown.setAttribute("role", "status");
    const more = button("", () => {
      chosen.open = true;
      refresh();
    }, "more");

    const refresh = () => {
      let count = 0;
      for (const row of body.rows) {
        const words = row.textContent.toLowerCase();
        row.hidden = (chosen.tag && !tagsOf(row).includes(chosen.tag)) || !words.includes(chosen.words);
        if (!row.hidden) count += 1;
        row.classList.toggle("rest", !chosen.open && count > folded);
      }
      shown.textContent = count < rows.length ? `${count} of ${rows.length}` : "";
      more.hidden = chosen.open || count <= folded;
      more.textContent = `show all ${count}`;
    };

    if (rows.length > 2)
      all("thead th", box).forEach((head, column) => {
        const asText = head.classList.contains("text");
        const sort = () => {
          const up = head.ariaSort ? head.ariaSort === "descending" : asText;
          for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
          head.setAttribute("aria-sort", up ? "ascending" : "descending");
          sortBy(body, column, asText, up);
          refresh();
        };
        if (head.textContent) head.replaceChildren(button([...head.childNodes], sort));
      });
    const controls = make("div", { className: "chips" });
    if (rows.some((row) => tagsOf(row).length)) {
      const set = (tag) => {
        chosen.tag = tag;
        refresh();
      };
      controls.append(...chips("rows shown", rows.map(tagsOf), set).box.childNodes);
    }
    if (rows.length > LONG) {
      const search = make("input", { type: "search", placeholder: `filter ${rows.length} rows` });
      search.setAttribute("aria-label", "filter rows by words");
      search.addEventListener("input", () => {
        chosen.words = search.value.trim().toLowerCase();
        refresh();
      });
      controls.append(search);
    }
    if (controls.childNodes.length) box.prepend(controls);
    controls.append(shown);
    box.append(more);
    refresh();
  };

  // Galleries: tabs, chips, only some of those alike until "more" is pressed, boxes that write a command

  const galleries = new Map();

  const setUpGallery = (box) => {
    const figures = all("figure", box);
    const tabbed = "tabs" in box.dataset;
    const tabOf = (figure) => (tabbed ? tagsOf(figure)[0] : "");
    const rest = (figure) => tagsOf(figure).slice(tabbed ? 1 : 0);
    const tabs = [...new Set(figures.map(tabOf))];
    const alike = Number(box.dataset.alike ?? Infinity);
    const chosen = { tab: tabs[0], tag: "", open: false };
    let filter = null;

    const more = button("", () => {
      chosen.open = true;
      refresh();
    }, "more");

    const refresh = () => {
      const seen = new Map();
      let spare = 0;
      for (const figure of figures) {
        const tags = rest(figure);
        figure.hidden = tabOf(figure) !== chosen.tab || (chosen.tag && !tags.includes(chosen.tag));
        if (!figure.hidden) seen.set(tags[0], (seen.get(tags[0]) ?? 0) + 1);
        const over = tags.length && !chosen.open && !chosen.tag && seen.get(tags[0]) > alike;
        figure.classList.toggle("rest", over);
        if (over && !figure.hidden) spare += 1;
      }
      more.hidden = !spare;
      more.textContent = `${spare} more`;
    };

    const addChips = () => {
      filter?.box.remove();
      const tagged = figures.filter((figure) => tabOf(figure) === chosen.tab).map(rest);
      filter = chips("pictures shown", tagged, (tag) => {
        chosen.tag = tag;
        refresh();
      });
      if (tagged.some((tags) => tags.length)) box.before(filter.box);
    };

    const openTab = (tab) => {
      Object.assign(chosen, { tab, tag: "", open: false });
      for (const [at, one] of [...(tabLine?.children ?? [])].entries()) press(one, tabs[at] === tab);
      addChips();
      refresh();
    };
    const tabLine = tabs.length > 1 ? make("div", { className: "chips tabs" }) : null;
    tabLine?.append(...tabs.map((tab) => button(tab, () => openTab(tab))));
    if (tabLine) box.before(tabLine);
    if (box.dataset.command) addChoice(box);
    box.after(more);
    openTab(tabs[0]);

    const has = (tag) => figures.find((figure) => rest(figure).includes(tag));
    const show = (tag) => {
      if (tag && tabOf(has(tag)) !== chosen.tab) openTab(tabOf(has(tag)));
      filter.select(tag);
      filter.box.scrollIntoView({ block: "start" });
      filter.box.querySelector("[aria-pressed=true]").focus({ preventScroll: true });
    };
    if (box.dataset.key && figures.length) galleries.set(box.dataset.key, { has, show });
  };

  const addChoice = (box) => {
    const code = make("code");
    const line = make("p", { className: "chosen", hidden: true }, code, " ", copyButton(code));
    box.after(line);
    box.addEventListener("change", () => {
      const values = all(".choice input:checked", box).map((one) => one.value);
      line.hidden = !values.length;
      code.textContent = [box.dataset.command, ...values].join(" ");
    });
  };

  // Confusion matrices: a cell shows its pictures

  const setUpMatrix = (box) => {
    const gallery = galleries.get(box.dataset.gallery);
    for (const cell of gallery ? all("td[data-tag]", box) : []) {
      const tag = cell.dataset.tag;
      if (!gallery.has(tag)) continue;
      const show = button(cell.textContent, () => {
        for (const other of all("td button", box)) press(other, other === show);
        gallery.show(tag);
      });
      show.setAttribute("aria-label", `${cell.title}; show pictures`);
      show.title = `${cell.title}; click to see pictures`;
      cell.replaceChildren(show);
    }
  };

  // Commands: a button that copies; where the browser won't, the words are left selected

  const copyButton = (code) => {
    const made = button("copy", async () => {
      getSelection().selectAllChildren(code);
      let done;
      try {
        await navigator.clipboard.writeText(code.textContent);
        done = true;
      } catch {
        done = document.execCommand("copy");
      }
      made.textContent = done ? "copied" : "press Ctrl+C";
      if (done) getSelection().removeAllRanges();
      setTimeout(() => (made.textContent = "copy"), 2500);
    }, "copy");
    made.setAttribute("aria-live", "polite");
    return made;
  };

  // The lightbox: left and right for the figure, up and down or 1 to 9 for the layer

  const setUpLightbox = () => {
    const image = make("img");
    const caption = make("p");
    const names = make("span", { className: "bar-of-names" });
    const place = make("span", { className: "status" });
    const dialog = make("dialog");
    let figures = [];
    let at = 0;
    let layer = 0;

    const show = () => {
      const pictures = all(".picture", figures[at]);
      layer = Math.min(layer, pictures.length - 1);
      const source = pictures[layer].querySelector("img");
      Object.assign(image, { src: source.src, alt: source.alt });
      image.classList.toggle("pixels", source.naturalWidth < 400);
      caption.replaceChildren(...all("figcaption", figures[at]).flatMap((one) => [...one.cloneNode(true).childNodes]));
      place.textContent = `${at + 1} of ${figures.length}`;
      const named = pictures.length > 1 ? pictures : [];
      names.replaceChildren(...named.map((one, number) => {
        const made = button(`${number + 1} ${one.dataset.layer}`, () => turn(0, number - layer));
        press(made, number === layer);
        return made;
      }));
    };
    const turn = (figure, step) => {
      const count = all(".picture", figures[at]).length;
      at = (at + figure + figures.length) % figures.length;
      layer = (layer + step + count) % count;
      show();
    };
    const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    dialog.addEventListener("keydown", (event) => {
      const count = all(".picture", figures[at]).length;
      const step = KEYS[event.key] ?? (event.key >= "1" && event.key <= String(count) ? [0, event.key - 1 - layer] : null);
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      turn(...step);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    const [back, on] = [button("←", () => turn(-1, 0)), button("→", () => turn(1, 0))];
    back.setAttribute("aria-label", "previous picture");
    on.setAttribute("aria-label", "next picture");
    const close = button("close", () => dialog.close(), "close");
    dialog.setAttribute("aria-label", "picture, enlarged");
    caption.setAttribute("aria-live", "polite");
    dialog.append(make("div", { className: "bar-of-names" }, back, place, on, names, close), image, caption);
    document.body.append(dialog);

    for (const link of all(".picture")) {
      link.setAttribute("role", "button");
      link.tabIndex = 0;
      const open = (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || (event.key && event.key !== "Enter" && event.key !== " ")) return;
        event.preventDefault();
        figures = all("figure:not([hidden], .rest)", link.closest(".gallery"));
        at = figures.indexOf(link.closest("figure"));
        layer = all(".picture", figures[at]).indexOf(link);
        show();
        dialog.showModal();
      };
      link.addEventListener("click", open);
      link.addEventListener("keydown", open);
    }
  };

  // Drawings: a legend that hides groups, the nearest point's name and value beside the pointer

  const tip = make("div", { className: "tip", hidden: true });

  const showTip = (content, x, y) => {
    tip.replaceChildren(...content);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? y - height - 12 : y + 18}px`;
  };

  // Points of lines as places on the drawing, with the words for each
  const linePoints = ({ series, frame: [left, top, width, height], range: [x0, x1, y0, y1], x: across }) =>
    series.flatMap((one) =>
      one.x.flatMap((x, at) => {
        const y = one.y[at];
        if (x === null || y === null) return [];
        const place = { x: left + ((x - x0) / (x1 - x0)) * width, y: top + ((y1 - y) / (y1 - y0)) * height };
        return [{ ...place, group: one.group, told: () => [`${one.name}: ${y}`, make("br"), `${across} ${x}`] }];
      }),
    );

  const thumbnail = (sheet, at, { side, columns }) => {
    const canvas = make("canvas", { width: 96, height: 96 });
    const from = [(at % columns) * side, Math.floor(at / columns) * side, side, side];
    canvas.getContext("2d").drawImage(sheet, ...from, 0, 0, 96, 96);
    return canvas;
  };

  const dotPoints = (data, by, sheet) =>
    data.x.map((x, at) => {
      const name = by.keys[by.of[at]]?.name;
      const words = name ? `${data.labels[at]}: ${name}` : data.labels[at];
      const told = () => (sheet ? [words, thumbnail(sheet, at, data)] : [words]);
      return { x, y: data.y[at], group: by.of[at], told };
    });

  const setUpPointer = (svg, state) => {
    const here = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    here.setAttribute("class", "here");
    here.setAttribute("r", svg.viewBox.baseVal.width / 90);
    const point = (one) => {
      here.setAttribute("cx", one.x);
      here.setAttribute("cy", one.y);
      svg.append(here);
      const at = new DOMPoint(one.x, one.y).matrixTransform(svg.getScreenCTM());
      showTip(one.told(), at.x, at.y);
      state.at = one;
    };
    const leave = () => {
      here.remove();
      tip.hidden = true;
    };
    const seen = () => state.points.filter((one) => !state.off.has(one.group));
    svg.addEventListener("pointermove", (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let nearest = null;
      let least = (svg.viewBox.baseVal.width / 12) ** 2;
      for (const one of seen()) {
        const distance = (one.x - x) ** 2 + (one.y - y) ** 2;
        if (distance < least) [nearest, least] = [one, distance];
      }
      nearest ? point(nearest) : leave();
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const points = seen();
      if (!step || !points.length) return;
      event.preventDefault();
      point(points[(Math.max(points.indexOf(state.at), step > 0 ? -1 : 0) + step + points.length) % points.length]);
    });
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("blur", leave);
    svg.tabIndex = 0;
  };

  const setUpLegend = (box, state) => {
    for (const key of all("span.key", box)) {
      const group = Number(key.dataset.group);
      const made = button([...key.childNodes], () => {
        state.off.has(group) ? state.off.delete(group) : state.off.add(group);
        press(made, !state.off.has(group));
        for (const one of all(`g[data-group="${group}"]`, box)) one.classList.toggle("off", state.off.has(group));
      }, key.className);
      made.style.cssText = key.style.cssText;
      press(made, true);
      key.replaceWith(made);
    }
  };

  // Dots in the colours of another grouping
  const regroup = (box, data, by, state) => {
    const svg = box.querySelector("svg");
    const paths = new Map([[-1, []], ...by.keys.map((_, at) => [at, []])]);
    by.of.forEach((group, at) => paths.get(group).push(`M${data.x[at]} ${data.y[at]}h0`));
    all("g", svg).forEach((one) => one.remove());
    for (const [group, places] of paths) {
      const colour = by.keys[group]?.colour ?? "#8c9199";
      const drawn = `<g data-group="${group}" style="--c:${colour}"><path class="line" d="${places.join("")}"/></g>`;
      svg.insertAdjacentHTML("beforeend", drawn);
    }
    box.querySelector(".keys").replaceChildren(...by.keys.map(({ name, colour, number }, group) => {
      const key = make("span", { className: "key" }, make("i"), name, " ", make("small", { textContent: number }));
      key.dataset.group = group;
      key.style.setProperty("--c", colour);
      return key;
    }));
    state.off.clear();
    state.points = dotPoints(data, by, box.querySelector(".sprite"));
    setUpLegend(box, state);
  };

  const setUpDrawing = (box) => {
    const data = JSON.parse(box.querySelector("script").textContent);
    const state = { off: new Set(), points: [], at: null };
    if (data.by) state.points = dotPoints(data, data.by[0], box.querySelector(".sprite"));
    else state.points = linePoints(data);
    setUpLegend(box, state);
    setUpPointer(box.querySelector("svg"), state);
    if ((data.by ?? []).length < 2) return;
    const line = make("div", { className: "chips" }, "colour by ");
    const choices = data.by.map((by) => button(by.name, (event) => {
      for (const one of choices) press(one, one === event.currentTarget);
      regroup(box, data, by, state);
    }));
    choices.forEach((one, at) => press(one, at === 0));
    line.append(...choices);
    box.prepend(line);
  };

  // The jump menu marks where the reader is

  const setUpMenu = () => {
    const links = new Map(all('nav a[href^="#"]').map((link) => [link.hash.slice(1), link]));
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting) {
          for (const link of links.values()) link.removeAttribute("aria-current");
          links.get(target.id)?.setAttribute("aria-current", "true");
        }
    }, { rootMargin: "-15% 0px -75% 0px" });
    for (const section of all("section[id]")) watch.observe(section);
  };

  all(".table").forEach(setUpTable);
  all(".gallery").forEach(setUpGallery);
  all(".matrix").forEach(setUpMatrix);
  all("code.command").forEach((code) => code.after(" ", copyButton(code)));
  all(".drawing").forEach(setUpDrawing);
  if (document.querySelector(".picture")) setUpLightbox();
  setUpMenu();
  document.body.append(tip);
  addEventListener("beforeprint", () => all("details").forEach((one) => (one.open = true)));
})();
