// The hint painter's front end: one plain module for notebooks and for web pages.
//
// It knows neither Python nor PyTorch. What colours is a colourer, an object with four functions;
// each answers with a promise, which fails with an Error whose message is meant for the reader:
//
//   open()     -> {photo: [height, width], view: {height, width, data}, small: {height, width, L},
//                  hints, suggestions}
//       The size of the photograph; the picture to show (RGBA, a Uint8ClampedArray); the lightness
//       that the network sees (a Float32Array); whether the network listens to hints, and whether
//       it can suggest colours.
//   colour({hints, patch}) -> Float32Array
//       a, then b, at the network's size. A hint is [row, column, [red, green, blue]] in pixels
//       of the photograph; patch is the side of a hint in pixels of the network's input.
//   suggest({row, column, hints, patch}) -> [{rgb, share}]
//       Colours for a pixel, the likeliest first, led by the hints given.
//   exportPng({hints, patch}) -> Blob
//       The coloured photograph at its full size.
//
// and two texts: waiting, to show when an answer takes long, and name, of the network.

// ---------------------------------------------------------------------------------- colour
// CIE Lab under D65 and sRGB, with the constants of course_lib.lab.

const WHITE = [0.95047, 1, 1.08883];
const XYZ_FROM_RGB = [0.412453, 0.35758, 0.180423, 0.212671, 0.71516, 0.072169, 0.019334, 0.119193, 0.950227];
const RGB_FROM_XYZ = inverse(XYZ_FROM_RGB);
const LINEAR = Float64Array.from({ length: 256 }, (_, level) => {
  const value = level / 255;
  return value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
});
const STEPS = 1 << 15; // fine enough that black's steep end is rounded as exact arithmetic does
const CURVED = Uint8ClampedArray.from({ length: STEPS + 1 }, (_, step) => {
  const light = step / STEPS;
  return 255 * (light > 0.0031308 ? 1.055 * light ** (1 / 2.4) - 0.055 : 12.92 * light);
});

function inverse([a, b, c, d, e, f, g, h, i]) {
  const [A, B, C] = [e * i - f * h, f * g - d * i, d * h - e * g];
  const determinant = a * A + b * B + c * C;
  return [A, c * h - b * i, b * f - c * e, B, a * i - c * g, c * d - a * f, C, b * g - a * h, a * e - b * d].map(
    (x) => x / determinant,
  );
}

const labCurve = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
const labUncurve = (t) => (t > 0.2068966 ? t * t * t : (t - 16 / 116) / 7.787);

export function labFromRgb([red, green, blue]) {
  const [r, g, b] = [LINEAR[red], LINEAR[green], LINEAR[blue]];
  const [x, y, z] = [0, 1, 2].map((row) => {
    const [p, q, s] = XYZ_FROM_RGB.slice(3 * row, 3 * row + 3);
    return labCurve((p * r + q * g + s * b) / WHITE[row]);
  });
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

// Linear sRGB, not clipped: outside 0..1 where a screen cannot show the colour.
function linearFromLab(L, a, b) {
  const y = (L + 16) / 116;
  const X = WHITE[0] * labUncurve(y + a / 500);
  const Y = labUncurve(y);
  const Z = WHITE[2] * labUncurve(y - b / 200);
  const m = RGB_FROM_XYZ;
  return [m[0] * X + m[1] * Y + m[2] * Z, m[3] * X + m[4] * Y + m[5] * Z, m[6] * X + m[7] * Y + m[8] * Z];
}

const level = (light) => CURVED[light <= 0 ? 0 : light >= 1 ? STEPS : (light * STEPS + 0.5) | 0];

export function rgbFromLab(L, a, b) {
  return linearFromLab(L, a, Math.min(b, (200 * (L + 16)) / 116 - 1e-3)).map(level); // Z is not negative
}

export function inGamut(L, a, b, tolerance = 1e-3) {
  // The tolerance is one of sRGB's values; below black they are 12.92 times the linear ones.
  const above = ((1 + tolerance + 0.055) / 1.055) ** 2.4;
  return linearFromLab(L, a, b).every((light) => light >= -tolerance / 12.92 && light <= above);
}

export function lightnessOf(rgba) {
  const L = new Float32Array(rgba.length / 4);
  const [, , , r, g, b] = XYZ_FROM_RGB;
  for (let i = 0, j = 0; i < L.length; i++, j += 4) {
    const Y = r * LINEAR[rgba[j]] + g * LINEAR[rgba[j + 1]] + b * LINEAR[rgba[j + 2]];
    L[i] = 116 * labCurve(Y) - 16;
  }
  return L;
}

const NAMES = Object.entries({
  black: [0, 0, 0], "dark gray": [70, 70, 70], gray: [128, 128, 128], "light gray": [190, 190, 190],
  white: [255, 255, 255], "dark red": [110, 15, 20], red: [215, 35, 35], "brick red": [165, 65, 50],
  salmon: [245, 135, 115], pink: [250, 175, 195], "deep pink": [235, 65, 140], maroon: [75, 15, 30],
  "dark brown": [65, 40, 22], brown: [120, 72, 35], "reddish brown": [125, 60, 45], tan: [200, 165, 120],
  beige: [232, 215, 180], cream: [252, 244, 215], orange: [245, 135, 25], "dark orange": [200, 95, 15],
  peach: [250, 200, 160], gold: [215, 170, 40], yellow: [248, 225, 45], "pale yellow": [248, 240, 160],
  olive: [115, 115, 35], "dark olive": [65, 68, 30], khaki: [175, 165, 105], "yellow green": [160, 200, 50],
  "pale green": [170, 220, 165], green: [60, 155, 65], "dark green": [20, 75, 35], "gray green": [115, 135, 110],
  "bright green": [60, 220, 70], "sea green": [45, 140, 105], turquoise: [60, 205, 195], teal: [20, 110, 115],
  "gray blue": [110, 130, 150], "pale blue": [175, 205, 230], "sky blue": [110, 180, 235], blue: [40, 95, 200],
  "bright blue": [30, 60, 250], "dark blue": [20, 35, 95], violet: [110, 60, 190], orchid: [225, 150, 225], lavender: [195, 180, 235],
  purple: [120, 40, 130], "dark purple": [60, 20, 75], mauve: [160, 115, 150], magenta: [225, 60, 210],
  "warm gray": [140, 130, 118], "pinkish gray": [155, 135, 135],
}).map(([name, rgb]) => [name, labFromRgb(rgb)]); // prettier-ignore

export function colourName(rgb) {
  const lab = labFromRgb(rgb);
  const gap = ([, other]) => Math.hypot(...other.map((value, i) => value - lab[i]));
  return NAMES.reduce((best, entry) => (gap(entry) < gap(best) ? entry : best))[0];
}

const TINTS = ["reddish", "yellowish", "greenish", "bluish", "purplish"];
function tint(rgb) {
  const [, a, b] = labFromRgb(rgb);
  if (Math.hypot(a, b) < 4) return "pure";
  const hue = ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360;
  return TINTS[[50, 110, 200, 310, 345].findIndex((end) => hue < end)] || TINTS[0];
}

// Names of several colours: those that share one are told apart by their tint, and if that is
// shared too by how colourful they are.
export function colourNames(colours) {
  const names = colours.map(colourName);
  const shared = (list, i) => list.filter((other) => other === list[i]).length > 1;
  const tinted = names.map((name, i) => (shared(names, i) ? `${tint(colours[i])} ${name}` : name));
  const chroma = (rgb) => Math.hypot(...labFromRgb(rgb).slice(1));
  return tinted.map((name, i) => {
    if (!shared(tinted, i)) return name;
    const alike = colours.filter((_, j) => tinted[j] === name).map(chroma);
    if (chroma(colours[i]) === Math.max(...alike)) return `strong ${name}`;
    return chroma(colours[i]) === Math.min(...alike) ? `soft ${name}` : name;
  });
}

// ------------------------------------------------------------- colours along the edges
// The fast guided filter (K. He, J. Sun, 2015, arXiv:1505.00996), as in course_lib.inference.

function boxMean(values, height, width) {
  const rows = new Float32Array(values.length);
  const out = new Float32Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * width; x < width; x++, i++) {
      rows[i] = values[x ? i - 1 : i] + values[i] + values[x < width - 1 ? i + 1 : i];
    }
  }
  for (let y = 0; y < height; y++) {
    const up = y ? -width : 0;
    const down = y < height - 1 ? width : 0;
    for (let x = 0, i = y * width; x < width; x++, i++) out[i] = (rows[i + up] + rows[i] + rows[i + down]) / 9;
  }
  return out;
}

// ab = scale * L + shift around each pixel: [scale a, shift a, scale b, shift b].
function guidedCoefficients({ height, width, L }, ab, epsilon = 1) {
  const count = height * width;
  const mean = (values) => boxMean(values, height, width);
  const product = (p, q) => Float32Array.from(p, (value, i) => value * q[i]);
  const meanL = mean(L);
  const variance = mean(product(L, L)).map((value, i) => value - meanL[i] ** 2);
  return [ab.subarray(0, count), ab.subarray(count)].flatMap((colour) => {
    const meanColour = mean(colour);
    const scale = mean(product(L, colour)).map(
      (value, i) => (value - meanL[i] * meanColour[i]) / (variance[i] + epsilon),
    );
    return [mean(scale), mean(meanColour.map((value, i) => value - scale[i] * meanL[i]))];
  });
}

// Where a large pixel lies between two small ones, half-pixel centres: index, index, weight.
function between(large, small) {
  const [first, second, weight] = [new Int32Array(large), new Int32Array(large), new Float32Array(large)];
  for (let i = 0; i < large; i++) {
    const place = Math.max(0, ((i + 0.5) * small) / large - 0.5);
    first[i] = Math.min(Math.floor(place), small - 1);
    second[i] = Math.min(first[i] + 1, small - 1);
    weight[i] = place - first[i];
  }
  return [first, second, weight];
}

// Join small ab with a large picture's own lightness: fills rgba, (height, width, 4).
export function join(L, height, width, small, ab, rgba, top = 0, rows = height) {
  const planes = guidedCoefficients(small, ab);
  const [y0, y1, wy] = between(height, small.height);
  const [x0, x1, wx] = between(width, small.width);
  const lines = planes.map(() => new Float32Array(small.width));
  const [scaleA, shiftA, scaleB, shiftB] = lines;
  const [m0, m1, m2, m3, m4, m5, m6, m7, m8] = RGB_FROM_XYZ;
  const [WX, , WZ] = WHITE;
  const clamp = (value) => (value > 110 ? 110 : value < -110 ? -110 : value);
  let i = 0;
  for (let y = top; y < top + rows; y++) {
    const [upper, lower, w] = [y0[y] * small.width, y1[y] * small.width, wy[y]];
    lines.forEach((line, k) => {
      const plane = planes[k];
      for (let x = 0; x < small.width; x++) line[x] = plane[upper + x] * (1 - w) + plane[lower + x] * w;
    });
    for (let x = 0; x < width; x++, i++) {
      const [p, q, v] = [x0[x], x1[x], wx[x]];
      const u = 1 - v;
      const light = L[i];
      const a = clamp((scaleA[p] * u + scaleA[q] * v) * light + shiftA[p] * u + shiftA[q] * v);
      const b = clamp((scaleB[p] * u + scaleB[q] * v) * light + shiftB[p] * u + shiftB[q] * v);
      const fy = (light + 16) / 116;
      const fz = fy - b / 200;
      const X = WX * labUncurve(fy + a / 500);
      const Y = labUncurve(fy);
      const Z = WZ * labUncurve(fz < 5e-6 ? 5e-6 : fz);
      const j = 4 * i;
      rgba[j] = level(m0 * X + m1 * Y + m2 * Z);
      rgba[j + 1] = level(m3 * X + m4 * Y + m5 * Z);
      rgba[j + 2] = level(m6 * X + m7 * Y + m8 * Z);
      rgba[j + 3] = 255;
    }
  }
  return rgba;
}

// ---------------------------------------------------------------------------------- pieces

const SVG = {
  undo: "M9 7 4 12l5 5M4.5 12H15a5 5 0 0 1 0 10h-3",
  redo: "m15 7 5 5-5 5m4.5-5H9a5 5 0 0 0 0 10h3",
  reset: "M5 5v6h6M5.6 11a8 8 0 1 1-1 6",
  minus: "M5 12h14",
  plus: "M5 12h14M12 5v14",
};

// Make an element: attributes as in HTML, functions for events, children as nodes or texts.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SVG[name]);
  svg.append(path);
  return svg;
}

const button = (label, picture, click, more = {}) =>
  make("button", { type: "button", class: "hp-button", click, ...more }, picture && icon(picture), make("span", {}, label));

const css = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// Run asynchronous work, never twice at a time: what is asked for meanwhile is done once, after.
function newest(work) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    while (again) {
      again = false;
      await work();
    }
    running = false;
  };
}

function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

const PATCH = 7;
const LARGEST_PATCH = 15;
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

// ---------------------------------------------------------------------------------- painter

// Build a painter into an element. options: hints and patch to start with, and a caption, a line
// below the photograph; changed(hints, patch), called after every change made here. Returns
// {set(hints, patch), caption(text), close()}.
export function createPainter(root, colourer, options = {}) {
  const { hints: given = [], patch: side = PATCH, caption: line = "", changed = () => {} } = options;
  // Its own names for labels and radios. No counter: in a notebook each painter has this module anew.
  const id = `hint-painter-${Math.random().toString(36).slice(2)}`;
  const gone = new AbortController();
  let hints = given;
  let patch = side;
  let [past, future] = [[], []];
  let photo, view, small, canHint, canSuggest; // from open()
  let viewL;
  let grayPixels, resultPixels;
  let shown = "result";
  let zoom = 1;
  let cross = null; // {row, column}: where the keyboard is
  let place = null; // {row, column, index}: what the palette is about; index -1 before it is a hint
  let offered = []; // suggestions at that place
  let answered = null; // what the picture shows: {hints, patch}

  // -- the elements
  const base = make("canvas", { class: "hp-canvas", role: "img", "aria-label": "The photograph, not opened yet" });
  const before = make("canvas", { class: "hp-canvas hp-before", "aria-hidden": "true" });
  const divider = make("div", { class: "hp-divider", hidden: true });
  const crosshair = make("div", { class: "hp-crosshair", hidden: true });
  const markers = make("div", { class: "hp-markers", role: "group", "aria-label": "Hints" });
  const surface = make("div", {
    class: "hp-surface", tabindex: "0", role: "application", "aria-roledescription": "photograph to paint on",
    "aria-describedby": `${id}-help`, "aria-label": "Photograph",
  }); // prettier-ignore
  const stage = make("div", { class: "hp-stage" }, base, before, divider, crosshair, surface, markers);
  const viewport = make("div", { class: "hp-viewport" }, stage);
  const status = make("p", { class: "hp-status", role: "status" }, "Opening …");
  const timing = make("span", { class: "hp-timing" });
  const caption = make("p", { class: "hp-caption", role: "status", hidden: !line }, line);
  const compare = make("input", {
    type: "range", min: "0", max: "100", value: "0", class: "hp-compare", id: `${id}-compare`,
  }); // prettier-ignore
  const views = make("div", { class: "hp-group hp-views", role: "radiogroup", "aria-label": "View" });
  for (const [name, label] of [["gray", "Gray"], ["hints", "Hints"], ["result", "Result"]]) {
    const input = make("input", {
      type: "radio", name: `${id}-view`, value: name, change: () => show(name), checked: name === shown,
    }); // prettier-ignore
    views.append(make("label", {}, input, make("span", {}, label)));
  }
  const undoButton = button("Undo", "undo", () => travel(past, future, "Undone"), { title: "Undo (Ctrl+Z)" });
  const redoButton = button("Redo", "redo", () => travel(future, past, "Done again"), { title: "Redo (Ctrl+Y)" });
  const resetButton = button("Reset", "reset", () => commit([], "All hints removed"), { title: "Remove all hints" });
  const zoomText = make("output", { class: "hp-zoom", "aria-label": "Zoom" }, "100 %");
  const zoomOut = button("Zoom out", "minus", () => zoomBy(-1), { class: "hp-button hp-icon" });
  const zoomIn = button("Zoom in", "plus", () => zoomBy(1), { class: "hp-button hp-icon" });
  const size = make("input", { type: "range", min: "1", max: LARGEST_PATCH, id: `${id}-size`, value: patch });
  const sizeText = make("output", {});
  const file = make("input", { type: "file", accept: ".json,application/json", hidden: true, change: loadHints });
  const title = make("h2", { id: `${id}-title`, class: "hp-title" });
  const where = make("p", { class: "hp-where" });
  const suggestions = make("div", { class: "hp-suggestions", role: "group", "aria-label": "Suggested colours" });
  const picker = make("canvas", {
    class: "hp-picker", width: 221, height: 221, tabindex: "0", role: "application", "aria-roledescription": "colour picker",
  }); // prettier-ignore
  const pickerBox = make(
    "div", { class: "hp-pickerbox" },
    make("p", { class: "hp-label", id: `${id}-any` }, "Any colour that a screen shows at this lightness"),
    make("div", { class: "hp-plane" },
      make("span", { class: "hp-axis hp-yellow" }, "yellow"), make("span", { class: "hp-axis hp-blue" }, "blue"),
      make("span", { class: "hp-axis hp-green" }, "green"), make("span", { class: "hp-axis hp-red" }, "red"), picker),
  ); // prettier-ignore
  const removeButton = button("Remove hint", null, () => remove(place.index), { title: "Delete" });
  const doneButton = button("Done", null, () => closePalette(true), { title: "Escape" });
  const palette = make(
    "section", { class: "hp-palette", "aria-labelledby": `${id}-title` },
    title, where, suggestions, pickerBox, make("div", { class: "hp-row" }, removeButton, doneButton),
  ); // prettier-ignore
  const saveButtons = [
    button("Save PNG", null, exportPng, { title: "Save the picture at its full size" }),
    button("Save hints", null, saveHints, { title: "Save the hints as JSON" }),
    button("Load hints", null, () => file.click(), { title: "Load hints from JSON" }),
  ];
  const sizeRow = make(
    "div", { class: "hp-sizerow" }, make("label", { for: `${id}-size` }, "Size of hint"), size, sizeText,
  ); // prettier-ignore
  const panel = make(
    "div", { class: "hp-panel" }, palette, sizeRow, make("div", { class: "hp-row hp-files" }, ...saveButtons, file),
  ); // prettier-ignore
  const painter = make(
    "div", { class: "hint-painter", "data-lm-suppress-shortcuts": "true", "aria-busy": "true" },
    make("div", { class: "hp-bar" }, views,
      make("div", { class: "hp-group" }, undoButton, redoButton, resetButton),
      make("div", { class: "hp-group hp-zooms" }, zoomOut, zoomText, zoomIn)),
    make("div", { class: "hp-main" },
      make("div", { class: "hp-left" }, viewport,
        make("div", { class: "hp-comparerow" }, make("label", { for: `${id}-compare` }, "Before / after"), compare),
        caption,
        make("div", { class: "hp-statusrow" }, status, timing)),
      panel),
    make("p", { class: "hp-hidden", id: `${id}-help` },
      "Arrow keys move a crosshair, with Shift in larger steps. Enter opens the palette there; 1 to 5 choose a " +
      "suggested colour. Delete removes the hint under the crosshair. Tab goes from hint to hint. Ctrl+Z takes " +
      "back, Ctrl+Y does again. Plus and minus zoom."),
  ); // prettier-ignore
  root.replaceChildren(make("div", { class: "hp-root" }, painter));

  // -- what is said
  function say(text, kind = "") {
    status.textContent = text;
    status.dataset.kind = kind;
  }
  const words = ([row, column, rgb]) => `${colourName(rgb)} at row ${Math.round(row)}, column ${Math.round(column)}`;
  const failed = (error) => say(error?.message || String(error), "error");

  // -- between pixels of the photograph and of the view
  const toView = (row, column) => [
    Math.min(view.height - 1, Math.floor(((row + 0.5) * view.height) / photo[0])),
    Math.min(view.width - 1, Math.floor(((column + 0.5) * view.width) / photo[1])),
  ];
  const inside = (value, count) => Math.min(count - 1, Math.max(0, Math.round(value)));
  const cell = () => Math.max(1, photo[0] / small.height, photo[1] / small.width); // a network's pixel
  function pixelAt(event) {
    const box = stage.getBoundingClientRect();
    return {
      row: inside(((event.clientY - box.top) / box.height) * photo[0] - 0.5, photo[0]),
      column: inside(((event.clientX - box.left) / box.width) * photo[1] - 0.5, photo[1]),
    };
  }
  function put(element, row, column) {
    element.style.top = `${((row + 0.5) / photo[0]) * 100}%`;
    element.style.left = `${((column + 0.5) / photo[1]) * 100}%`;
  }
  function lightnessAt(row, column) {
    const [y, x] = toView(row, column);
    return viewL[y * view.width + x];
  }

  // -- colouring: one question at a time, the newest one next
  const recolour = newest(async () => {
    const asked = { hints, patch };
    if (gone.signal.aborted || same(asked, answered)) return settle();
    painter.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => say(colourer.waiting, "error"), 4000);
    const start = performance.now();
    try {
      const ab = await colourer.colour(asked);
      if (gone.signal.aborted) return;
      join(viewL, view.height, view.width, small, ab, resultPixels.data);
      answered = asked;
      draw();
      timing.textContent = `${Math.round(performance.now() - start)} ms`;
      if (status.textContent === colourer.waiting) say("");
    } catch (error) {
      failed(error);
    } finally {
      clearTimeout(slow);
      settle();
    }
  });
  const settle = () => painter.setAttribute("aria-busy", "false");

  // -- changing hints
  function update(next) {
    hints = next;
    drawMarkers();
    if (shown === "hints") draw();
    recolour();
  }
  function commit(next, text, from = hints) {
    if (same(next, from)) return;
    past.push(from);
    future = [];
    update(next);
    say(text);
    changed(hints, patch);
    place = place && hints[place.index] ? place : null;
    drawPalette();
    drawButtons();
  }
  function travel(from, to, text) {
    picked();
    if (!from.length) return say("Nothing to take back or do again");
    to.push(hints);
    place = null;
    update(from.pop());
    say(`${text}: ${count()}`);
    changed(hints, patch);
    drawPalette();
    drawButtons();
  }
  const count = () => (hints.length === 1 ? "1 hint" : `${hints.length || "no"} hints`);
  function remove(index) {
    if (index == null || index < 0) return;
    const focused = markers.contains(document.activeElement) || palette.contains(document.activeElement);
    const text = `Removed: ${words(hints[index])}`;
    place = null;
    commit(hints.filter((_, i) => i !== index), text);
    if (focused) surface.focus();
  }
  // The hint under a pixel, the latest one first: -1 if there is none.
  function hintAt(row, column) {
    const reach = (Math.max(patch, 3) / 2) * cell();
    return hints.findLastIndex(([y, x]) => Math.abs(y - row) <= reach && Math.abs(x - column) <= reach);
  }

  // -- the palette
  const suggest = newest(async () => {
    if (!place || gone.signal.aborted) return;
    const asked = place;
    const others = hints.filter((_, i) => i !== place.index);
    try {
      const found = canSuggest ? await colourer.suggest({ row: place.row, column: place.column, hints: others, patch }) : [];
      if (asked !== place) return;
      offered = found;
      drawSuggestions();
      drawPicker();
    } catch (error) {
      failed(error);
    }
  });
  function openPalette(row, column, index = -1, focus = false) {
    if (!canHint) return say(`${colourer.name} takes no hints: it colours by itself.`, "error");
    place = { row, column, index };
    cross = { row, column };
    offered = [];
    drawPalette();
    drawMarkers();
    suggest();
    say(index < 0 ? `Choose a colour for row ${Math.round(row)}, column ${Math.round(column)}` : `Hint ${index + 1}: ${words(hints[index])}`);
    if (focus) (suggestions.querySelector("button") || picker).focus();
  }
  function closePalette(focus) {
    picked(); // Escape while the picker is dragged in: what is chosen so far stays, and can be undone
    place = null;
    drawPalette();
    drawMarkers();
    if (focus) surface.focus();
  }
  function choose(rgb, from = hints) {
    if (!place) return;
    const hint = [place.row, place.column, rgb];
    if (place.index < 0) {
      place.index = hints.length;
      commit([...hints, hint], `Hint ${hints.length + 1}: ${words(hint)}`, from);
    } else {
      commit(hints.map((old, i) => (i === place.index ? hint : old)), `Hint ${place.index + 1}: ${words(hint)}`, from);
    }
  }
  const currentAb = () => (place?.index >= 0 ? labFromRgb(hints[place.index][2]).slice(1) : [0, 0]);

  function drawPalette() {
    palette.dataset.open = String(Boolean(place));
    title.textContent = place ? (place.index < 0 ? "A colour here" : `Hint ${place.index + 1}`) : canHint === false ? "Automatic" : "Give a hint";
    suggestions.hidden = pickerBox.hidden = removeButton.parentElement.hidden = !place;
    removeButton.disabled = !(place?.index >= 0);
    if (!place) {
      where.textContent = canHint === false
        ? `${colourer.name} colours by itself and takes no hints. SIGGRAPH17 listens to them.`
        : matchMedia("(pointer: coarse)").matches
          ? "Tap something in the photograph and choose its colour. Drag a hint to move it; tap it to change or remove it."
          : "Click something in the photograph and choose its colour, or move over it with the arrow keys and press Enter. Drag a hint to move it; Delete or a right click removes it.";
      return;
    }
    where.textContent = `Row ${Math.round(place.row)}, column ${Math.round(place.column)}, lightness ${Math.round(lightnessAt(place.row, place.column))}`;
    drawSuggestions();
    drawPicker();
  }
  function drawSuggestions() {
    const rgb = place?.index >= 0 ? hints[place.index][2] : null;
    const focused = [...suggestions.children].indexOf(document.activeElement);
    const names = colourNames(offered.map(({ rgb }) => rgb));
    const list = offered.length ? offered : canSuggest ? Array(5).fill(null) : [];
    suggestions.replaceChildren(
      ...list.map((offer, i) => {
        if (!offer) return make("span", { class: "hp-suggestion hp-empty", "aria-hidden": "true" });
        const name = names[i];
        const percent = offer.share < 0.005 ? "under 1 %" : `${Math.round(100 * offer.share)} %`;
        const swatch = make("span", { class: "hp-swatch" });
        swatch.style.background = css(offer.rgb);
        const bar = make("span", { class: "hp-likely" });
        bar.style.width = `${Math.max(2, 100 * offer.share)}%`;
        return make(
          "button", {
            type: "button", class: "hp-suggestion", "aria-pressed": String(same(rgb, offer.rgb)),
            click: () => choose(offer.rgb),
          },
          make("span", { class: "hp-key" }, String(i + 1)), swatch, make("span", { class: "hp-name" }, name),
          make("span", { class: "hp-percent" }, percent), make("span", { class: "hp-track" }, bar),
        ); // prettier-ignore
      }),
    );
    if (focused >= 0) (suggestions.children[focused] || suggestions.querySelector("button"))?.focus?.();
  }
  const plane = new Map(); // pictures of the ab plane, by lightness
  function abPlane(L) {
    const key = Math.round(L);
    if (plane.has(key)) return plane.get(key);
    const image = new ImageData(221, 221);
    for (let y = 0, j = 0; y < 221; y++) {
      for (let x = 0; x < 221; x++, j += 4) {
        if (!inGamut(key, x - 110, 110 - y)) continue;
        image.data.set(rgbFromLab(key, x - 110, 110 - y), j);
        image.data[j + 3] = 255;
      }
    }
    plane.set(key, image);
    return image;
  }
  function drawPicker() {
    if (!place) return;
    const L = lightnessAt(place.row, place.column);
    const context = picker.getContext("2d");
    context.putImageData(abPlane(L), 0, 0);
    const ring = ([a, b], radius, text) => {
      for (const [style, width] of [["#000", 4], ["#fff", 2]]) {
        context.beginPath();
        context.arc(a + 110.5, 110.5 - b, radius, 0, 7);
        [context.strokeStyle, context.lineWidth] = [style, width];
        context.stroke();
      }
      if (!text) return;
      context.font = "bold 9px sans-serif";
      [context.textAlign, context.textBaseline, context.lineWidth, context.strokeStyle] = ["center", "middle", 2.5, "#000"];
      context.strokeText(text, a + 110.5, 111 - b);
      context.fillStyle = "#fff";
      context.fillText(text, a + 110.5, 111 - b);
    };
    offered.forEach(({ rgb }, i) => ring(labFromRgb(rgb).slice(1), 6.5, String(i + 1)));
    const [a, b] = currentAb();
    if (place.index >= 0) ring([a, b], 9);
    picker.setAttribute(
      "aria-label",
      `Any colour: ${place.index >= 0 ? colourName(hints[place.index][2]) : "none yet"}, a ${Math.round(a)}, b ${Math.round(b)}. ` +
        "Arrow keys change it, Enter is done.",
    );
  }
  // The nearest colour toward gray that a screen can show.
  function shownAb(L, a, b) {
    if (inGamut(L, a, b)) return [a, b];
    let [low, high] = [0, 1];
    for (let i = 0; i < 12; i++) {
      const middle = (low + high) / 2;
      if (inGamut(L, a * middle, b * middle)) low = middle;
      else high = middle;
    }
    return [a * low, b * low];
  }
  let pickedFrom = null;
  function pick(event) {
    const box = picker.getBoundingClientRect();
    const L = lightnessAt(place.row, place.column);
    const at = shownAb(L, ((event.clientX - box.left) / box.width) * 221 - 110.5, 110.5 - ((event.clientY - box.top) / box.height) * 221);
    const hint = [place.row, place.column, rgbFromLab(L, ...at)];
    if (place.index < 0) place.index = hints.length;
    update([...hints.slice(0, place.index), hint, ...hints.slice(place.index + 1)]);
    drawPicker();
  }
  picker.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    picker.setPointerCapture(event.pointerId);
    pickedFrom = hints;
    pick(event);
  });
  picker.addEventListener("pointermove", (event) => pickedFrom && place && pick(event));
  const picked = () => {
    if (!pickedFrom || !place) return;
    const from = pickedFrom;
    pickedFrom = null;
    commit(hints, `Hint ${place.index + 1}: ${words(hints[place.index])}`, from);
  };
  picker.addEventListener("pointerup", picked);
  picker.addEventListener("pointercancel", picked);
  picker.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 20 : 5;
    const move = arrow(event, step);
    if (event.key === "Enter") return handled(event, () => closePalette(true));
    if (!move) return;
    handled(event, () => {
      const L = lightnessAt(place.row, place.column);
      const [a, b] = currentAb();
      choose(rgbFromLab(L, ...shownAb(L, a + move.columns, b - move.rows)));
    });
  });

  // -- pictures
  function draw() {
    if (!view) return;
    const context = base.getContext("2d");
    context.putImageData(shown === "result" ? resultPixels : grayPixels, 0, 0);
    if (shown === "hints") {
      const [high, wide] = [view.height / small.height, view.width / small.width];
      for (const [row, column, rgb] of hints) {
        // the very pixels of the network's input, as course_lib.hints has them
        const y = Math.trunc(((row + 0.5) * small.height) / photo[0]) - (patch >> 1);
        const x = Math.trunc(((column + 0.5) * small.width) / photo[1]) - (patch >> 1);
        const [top, left] = [Math.max(0, y), Math.max(0, x)];
        context.fillStyle = css(rgb);
        context.fillRect(left * wide, top * high, (x + patch - left) * wide, (y + patch - top) * high);
      }
    }
    const part = shown === "result" ? Number(compare.value) : 0;
    compare.disabled = shown !== "result";
    before.style.clipPath = `inset(0 ${100 - part}% 0 0)`;
    divider.hidden = !part;
    divider.style.left = `${part}%`;
    const what = { gray: "The photograph in gray", hints: `The gray photograph with ${count()}`, result: `The coloured photograph, with ${count()}` };
    base.setAttribute("aria-label", what[shown]);
    surface.setAttribute("aria-label", `${what[shown]}, ${photo[0]} rows and ${photo[1]} columns`);
  }
  function drawMarkers() {
    if (!photo) return;
    const focused = [...markers.children].indexOf(document.activeElement);
    // Markers stay the same elements as long as they can: a drag must not lose hold of its own.
    while (markers.children.length > hints.length) markers.lastChild.remove();
    while (markers.children.length < hints.length) markers.append(marker(markers.children.length));
    hints.forEach((hint, index) => {
      const dot = markers.children[index];
      put(dot, hint[0], hint[1]);
      dot.style.setProperty("--hp-hint", css(hint[2]));
      dot.setAttribute("aria-label", `Hint ${index + 1}: ${words(hint)}`);
      dot.setAttribute("aria-pressed", String(place?.index === index));
    });
    if (focused >= 0 && !markers.children[focused]) surface.focus();
    const spot = place && place.index < 0 ? place : document.activeElement === surface ? cross : null;
    crosshair.hidden = !spot;
    if (spot) put(crosshair, spot.row, spot.column);
  }
  function marker(index) {
    let held = null; // {x, y, from, moved}
    const dot = make("button", { type: "button", class: "hp-marker" });
    dot.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      dot.setPointerCapture(event.pointerId);
      held = { x: event.clientX, y: event.clientY, from: hints, moved: false };
    });
    dot.addEventListener("pointermove", (event) => {
      if (!held) return;
      held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > 4;
      if (!held.moved) return;
      const { row, column } = pixelAt(event);
      if (place?.index === index) Object.assign(place, { row, column });
      update(hints.map((hint, i) => (i === index ? [row, column, hint[2]] : hint)));
    });
    const dropped = () => {
      if (held?.moved && hints[index]) {
        dot.dataset.dragged = "true";
        setTimeout(() => delete dot.dataset.dragged);
        commit(hints, `Moved: ${words(hints[index])}`, held.from);
        if (place?.index === index) openPalette(hints[index][0], hints[index][1], index);
      }
      held = null;
    };
    dot.addEventListener("pointerup", dropped);
    dot.addEventListener("pointercancel", dropped);
    dot.addEventListener("click", (event) => {
      if (dot.dataset.dragged) return;
      openPalette(hints[index][0], hints[index][1], index, event.detail === 0); // 0: by the keyboard
    });
    dot.addEventListener("contextmenu", (event) => handled(event, () => remove(index)));
    dot.addEventListener("keydown", (event) => {
      const move = arrow(event, cell() * (event.shiftKey ? 8 : 1));
      if (event.key === "Delete" || event.key === "Backspace") return handled(event, () => remove(index));
      if (!move) return;
      handled(event, () => {
        const [row, column, rgb] = hints[index];
        const moved = [inside(row + move.rows, photo[0]), inside(column + move.columns, photo[1]), rgb];
        if (place?.index === index) Object.assign(place, { row: moved[0], column: moved[1] });
        commit(hints.map((hint, i) => (i === index ? moved : hint)), `Moved: ${words(moved)}`);
      });
    });
    return dot;
  }
  function drawButtons() {
    undoButton.disabled = !past.length;
    redoButton.disabled = !future.length;
    resetButton.disabled = !hints.length;
    zoomOut.disabled = zoom === ZOOMS[0];
    zoomIn.disabled = zoom === ZOOMS.at(-1);
    zoomText.textContent = `${Math.round(100 * zoom)} %`;
    size.disabled = canHint === false;
    size.value = patch;
    sizeText.textContent = `${patch} × ${patch}`;
  }
  function show(name) {
    shown = name;
    draw();
    say({ gray: "What the network is given", hints: "Your hints, as large as the network sees them", result: "The network's answer" }[name]);
  }
  function zoomBy(step) {
    const at = ZOOMS.indexOf(zoom) + step;
    if (at < 0 || at >= ZOOMS.length) return;
    const old = zoom;
    zoom = ZOOMS[at];
    const middle = [
      (viewport.scrollLeft + viewport.clientWidth / 2) * (zoom / old) - viewport.clientWidth / 2,
      (viewport.scrollTop + viewport.clientHeight / 2) * (zoom / old) - viewport.clientHeight / 2,
    ];
    stage.style.width = `${100 * zoom}%`;
    [viewport.scrollLeft, viewport.scrollTop] = middle;
    drawButtons();
  }

  // -- keyboard
  function arrow(event, step) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    return move && !event.ctrlKey && !event.metaKey && !event.altKey ? { rows: move[0] * step, columns: move[1] * step } : null;
  }
  function handled(event, action) {
    event.preventDefault();
    event.stopPropagation();
    action();
  }
  surface.addEventListener("click", (event) => {
    if (!photo) return;
    const { row, column } = pixelAt(event);
    openPalette(row, column, event.detail === 0 ? hintAt(row, column) : -1);
  });
  surface.addEventListener("focus", () => {
    if (!photo) return;
    cross ||= { row: photo[0] >> 1, column: photo[1] >> 1 };
    drawMarkers();
  });
  surface.addEventListener("blur", drawMarkers);
  surface.addEventListener("keydown", (event) => {
    if (!photo) return;
    const move = arrow(event, cell() * (event.shiftKey ? 8 : 1));
    if (move) {
      return handled(event, () => {
        cross = { row: inside(cross.row + move.rows, photo[0]), column: inside(cross.column + move.columns, photo[1]) };
        if (place && place.index < 0) closePalette(false);
        drawMarkers();
        crosshair.scrollIntoView({ block: "nearest", inline: "nearest" });
        const [y, x] = toView(cross.row, cross.column);
        const j = 4 * (y * view.width + x);
        const index = hintAt(cross.row, cross.column);
        say(`Row ${cross.row}, column ${cross.column}: ${index < 0 ? colourName([...resultPixels.data.subarray(j, j + 3)]) : `hint ${index + 1}, ${colourName(hints[index][2])}`}`);
      });
    }
    if (event.key === "Enter" || event.key === " ") {
      const index = hintAt(cross.row, cross.column);
      const [row, column] = index < 0 ? [cross.row, cross.column] : hints[index];
      return handled(event, () => openPalette(row, column, index, true));
    }
    if (event.key === "Delete" || event.key === "Backspace") {
      const index = hintAt(cross.row, cross.column);
      return handled(event, () => (index < 0 ? say("No hint under the crosshair") : remove(index)));
    }
    if (event.key === "+" || event.key === "-") return handled(event, () => zoomBy(event.key === "+" ? 1 : -1));
  });
  painter.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
      const forward = key === "y" || event.shiftKey;
      handled(event, () => (forward ? travel(future, past, "Done again") : travel(past, future, "Undone")));
    } else if (place && /^[1-5]$/.test(key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const offer = offered[Number(key) - 1];
      if (offer) handled(event, () => choose(offer.rgb));
    } else if (place && key === "escape") handled(event, () => closePalette(true));
    event.stopPropagation(); // a notebook has shortcuts of its own
  });
  compare.addEventListener("input", draw);
  size.addEventListener("input", () => {
    patch = Number(size.value);
    drawButtons();
    if (shown === "hints") draw();
    recolour();
  });
  size.addEventListener("change", () => {
    say(`Hints are ${patch} pixels of the network's input wide`);
    changed(hints, patch);
  });

  // -- files
  async function exportPng() {
    say("Colouring at full size …");
    try {
      download(await colourer.exportPng({ hints, patch }), "coloured.png");
      say("Saved as coloured.png");
    } catch (error) {
      failed(error);
    }
  }
  function saveHints() {
    const content = { height: photo[0], width: photo[1], patch, hints };
    download(new Blob([JSON.stringify(content)], { type: "application/json" }), "hints.json");
    say("Saved as hints.json");
  }
  async function loadHints() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    try {
      const next = readHints(await chosen.text(), photo);
      if (!canHint) throw new Error(`${colourer.name} takes no hints: it colours by itself.`);
      patch = next.patch;
      place = null;
      commit(next.hints, `Loaded ${next.hints.length} hints`);
      drawButtons();
      recolour();
    } catch (error) {
      failed(error);
    }
  }

  // -- start
  drawPalette();
  drawButtons();
  const controls = [...saveButtons, compare, ...views.querySelectorAll("input")];
  controls.forEach((control) => (control.disabled = true));
  async function open() {
    const slow = setTimeout(() => say(colourer.waiting, "error"), 4000);
    try {
      const opened = await colourer.open();
      if (gone.signal.aborted) return;
      ({ photo, view, small, hints: canHint, suggestions: canSuggest } = opened);
      for (const canvas of [base, before]) [canvas.width, canvas.height] = [view.width, view.height];
      viewport.style.setProperty("--hp-shape", `${view.width} / ${view.height}`);
      viewport.style.setProperty("--hp-ratio", view.width / view.height);
      viewL = lightnessOf(view.data);
      grayPixels = new ImageData(view.width, view.height);
      for (let i = 0, j = 0; i < viewL.length; i++, j += 4) {
        const gray = rgbFromLab(viewL[i], 0, 0)[1];
        grayPixels.data[j] = grayPixels.data[j + 1] = grayPixels.data[j + 2] = gray;
        grayPixels.data[j + 3] = 255;
      }
      resultPixels = new ImageData(new Uint8ClampedArray(grayPixels.data), view.width, view.height);
      before.getContext("2d").putImageData(grayPixels, 0, 0);
      controls.forEach((control) => (control.disabled = false));
      if (!canHint) hints = [];
      say(canHint ? "" : `${colourer.name} takes no hints: it colours by itself.`);
      draw();
      drawMarkers();
      drawPalette();
      drawButtons();
      recolour();
    } catch (error) {
      failed(error);
      painter.setAttribute("aria-busy", "false");
    } finally {
      clearTimeout(slow);
    }
  }
  open();

  return {
    // From outside: new hints, a new size, or both.
    set(nextHints, nextPatch = patch) {
      if (same(nextHints, hints) && nextPatch === patch) return;
      if (!same(nextHints, hints)) {
        past.push(hints);
        future = [];
        place = pickedFrom = null;
      }
      patch = nextPatch;
      hints = nextHints;
      drawButtons();
      drawPalette();
      if (!photo) return;
      update(hints);
      say(`Set from the program: ${count()}`);
    },
    caption(text) {
      caption.textContent = text;
      caption.hidden = !text;
    },
    close() {
      gone.abort();
      root.replaceChildren();
    },
  };
}

// Hints from the text of a file, or an Error that says what is wrong with it.
export function readHints(text, [height, width]) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("This file holds no hints: it is not JSON.");
  }
  const level = (value) => Number.isInteger(value) && value >= 0 && value <= 255;
  const hint = (entry) =>
    Array.isArray(entry) && entry.length === 3 && entry.slice(0, 2).every(Number.isFinite) &&
    Array.isArray(entry[2]) && entry[2].length === 3 && entry[2].every(level); // prettier-ignore
  if (!Array.isArray(content?.hints) || !content.hints.every(hint)) {
    throw new Error("This file holds no hints: save some here to see what one looks like.");
  }
  if (content.height !== height || content.width !== width) {
    throw new Error(
      `These hints are for a photograph of ${content.height} rows and ${content.width} columns; this one has ${height} and ${width}.`,
    );
  }
  if (!content.hints.every(([row, column]) => row >= 0 && row < height && column >= 0 && column < width)) {
    throw new Error("A hint in this file lies outside the photograph.");
  }
  const patch = Number.isInteger(content.patch) ? Math.min(LARGEST_PATCH, Math.max(1, content.patch)) : PATCH;
  return { hints: content.hints, patch };
}

// --------------------------------------------------------------------------------- notebook
// The kernel as a colourer: numbered messages over the widget's own channel.

const PATIENCE = 30000; // milliseconds after which an answer is given up

function kernelColourer(model) {
  const open = new Map();
  const start = Math.random().toString(36).slice(2); // the same widget may be shown twice
  let number = 0;
  const receive = (message, buffers) => {
    const waiting = open.get(message?.id);
    if (!waiting) return;
    open.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.error) waiting.fail(new Error(message.error));
    else waiting.done([message, (buffers || []).map((part) => part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength))]);
  };
  model.on("msg:custom", receive);
  const ask = (kind, content = {}) =>
    new Promise((done, fail) => {
      const id = `${start}-${++number}`;
      const closed = () => {
        open.delete(id);
        fail(new Error("No answer: the kernel is closed or busy. Run the notebook's cells again, then this works on."));
      };
      // A notebook that runs all its cells keeps the kernel busy for minutes: opening waits for it.
      open.set(id, { done, fail, timer: kind === "open" ? null : setTimeout(closed, PATIENCE) });
      try {
        model.send({ id, kind, ...content });
      } catch {
        clearTimeout(open.get(id).timer);
        closed();
      }
    });
  return {
    name: "This network",
    waiting: "No answer yet: the kernel is busy, or closed. Your hints are kept.",
    async open() {
      const [content, [pixels, L]] = await ask("open");
      const [height, width] = content.view;
      const rgb = new Uint8Array(pixels);
      const data = new Uint8ClampedArray(4 * height * width).fill(255);
      for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) data.set(rgb.subarray(i, i + 3), j);
      const small = { height: content.small[0], width: content.small[1], L: new Float32Array(L) };
      return { ...content, view: { height, width, data }, small };
    },
    colour: async (question) => new Float32Array((await ask("colour", question))[1][0]),
    async suggest(question) {
      const [{ colours, shares }] = await ask("suggest", question);
      return colours.map((rgb, i) => ({ rgb, share: shares[i] }));
    },
    exportPng: async (question) => new Blob((await ask("export", question))[1], { type: "image/png" }),
    close: () => model.off("msg:custom", receive),
  };
}

function render({ model, el }) {
  const colourer = kernelColourer(model);
  const painter = createPainter(el, colourer, {
    hints: model.get("hints"),
    patch: model.get("patch"),
    caption: model.get("caption"),
    changed(hints, patch) {
      model.set("hints", hints);
      model.set("patch", patch);
      model.save_changes();
    },
  });
  const follow = () => painter.set(model.get("hints"), model.get("patch"));
  model.on("change:hints", follow);
  model.on("change:patch", follow);
  const say = () => painter.caption(model.get("caption"));
  model.on("change:caption", say);
  return () => {
    model.off("change:hints", follow);
    model.off("change:patch", follow);
    model.off("change:caption", say);
    colourer.close();
    painter.close();
  };
}

export default { render };
