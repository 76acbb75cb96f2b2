// Turns the drawn pictures of alasso/widgets.py into pictures with controls. No library, no network, works from file://.
// The functions of `kinds` are those of alasso/explorers.py; tests/test_explorers.py holds the two together.
(() => {
  "use strict";

  // Equations (5) and (7), as in alasso/formulas.py. (2) is (5) with a = 1 and ε = 0.
  const curvature = (theta, { anchor, side, importance }, a, epsilon) =>
    (theta - anchor) * side > 0 ? importance : a * importance + epsilon;
  const surrogate = (theta, past, a, epsilon) => curvature(theta, past, a, epsilon) * (theta - past.anchor) ** 2;
  const perfectImportance = (omega, pastDrop, move, damping) => (omega + pastDrop) / (move ** 2 + damping);

  const grid = (reach, count) => Array.from({ length: count }, (_, i) => reach * ((2 * i) / (count - 1) - 1));
  const over = (x, f) => [x, x.map(f)];
  const cubic = (reach, count) => grid(1, count).map((u) => reach * u ** 3); // dense where a steep parabola is narrow
  const scientific = (value) => {
    const [mantissa, exponent] = value.toExponential(1).split("e");
    return `${mantissa} · 10${String(Number(exponent)).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)])}`;
  };

  // From the values of the controls and the data of the page to the points of every named line, and a sentence.
  const kinds = {
    table: (v, { by, values, table, readouts }) => {
      const row = values.indexOf(v[by]);
      return { lines: table[row], readout: readouts[row] };
    },

    measured: (v, { sweeps }) => {
      const { move, omega } = sweeps[v.scene];
      const past = { anchor: 0, side: -Math.sign(move), importance: perfectImportance(omega, 0, move, v.damping) };
      const lines = {};
      for (const [panel, reach] of [["near", 2 * Math.abs(move)], ["wide", 1]]) {
        const x = cubic(reach, 81);
        lines[`symmetric-${panel}`] = over(x, (t) => surrogate(t, past, 1, 0));
        lines[`asymmetric-${panel}`] = over(x, (t) => surrogate(t, past, v.a, v.epsilon));
      }
      const far = v.a * past.importance + v.epsilon;
      return {
        lines,
        readout: `ω = ${scientific(omega)} over a move of ${scientific(Math.abs(move))} makes Ω̂ = ` +
          `${scientific(past.importance)} on the observed side, and ${scientific(far)} on the other.`,
      };
    },

    tasks: (v) => {
      const past = { anchor: 0, side: -1, importance: 1 };
      const stiffness = v.c * curvature(v.m, past, v.a, 0);
      const stop = v.m / (stiffness + 1);
      const drop = -v.c_prime * surrogate(stop, past, v.a_prime, 0);
      const importance = perfectImportance(v.m ** 2 - (stop - v.m) ** 2, drop, stop, 0);
      const next = { anchor: stop, side: -Math.sign(stop), importance: Math.max(0, importance) };
      const total = (x) => (x - v.m) ** 2 + v.c * surrogate(x, past, v.a, 0);
      const x = grid(2, 81);
      return {
        lines: {
          past: over(x, (t) => v.c * surrogate(t, past, v.a, 0)),
          task: over(x, (t) => (t - v.m) ** 2),
          total: over(x, (t) => total(t) - total(stop)),
          following: over(x, (t) => surrogate(t, next, v.a, 0)),
          stop: [[stop, stop], [0, 4]],
        },
        readout: `Training stops at θ = ${stop.toFixed(2)}. There the total loss has the coefficient ` +
          `${(1 + stiffness).toFixed(2)}; equation (7) makes the next Ω̂ ${importance.toFixed(2)}${importance < 0 ? ", set to 0" : ""}.`,
      };
    },
  };

  // One labelled slider or menu; calls `changed` with its position.
  const input = ({ name, label, texts, start, values }, identity, changed) => {
    const row = document.createElement("div");
    row.innerHTML = '<label></label><output aria-hidden="true"></output>';
    const [title, output] = row.children;
    const element = document.createElement(values ? "input" : "select");
    element.id = title.htmlFor = `${identity}-${name}`;
    title.textContent = label;
    if (values) Object.assign(element, { type: "range", min: 0, max: texts.length - 1, step: 1 });
    else element.append(...texts.map((text, position) => new Option(text, position)));
    element.value = start;
    const update = () => {
      const text = texts[element.value];
      if (values) element.setAttribute("aria-valuetext", (output.textContent = text));
      changed(values ? values[element.value] : Number(element.value));
    };
    element.addEventListener("input", update);
    title.after(element);
    return { row, update };
  };

  for (const explorer of document.querySelectorAll("figure.explorer:has(> script)")) {
    const { kind, controls, frames, data } = JSON.parse(explorer.querySelector("script").textContent);
    const pictures = explorer.querySelectorAll(".explorer-picture");
    const values = { scene: 0 };

    const draw = () => {
      const { lines, readout } = kinds[kind](values, data);
      pictures.forEach((picture, scene) => { picture.hidden = scene !== values.scene; });
      for (const [name, [x, y]] of Object.entries(lines)) {
        const [sx, tx, sy, ty] = frames[values.scene][name];
        const points = x.map((value, i) => `${(sx * value + tx).toFixed(2)} ${(sy * y[i] + ty).toFixed(2)}`);
        document.querySelector(`#${explorer.id}-${values.scene}-${name} path`).setAttribute("d", `M${points.join("L")}`);
      }
      explorer.querySelector(".explorer-readout").textContent = readout;
    };

    const panel = document.createElement("div");
    panel.className = "explorer-controls";
    let ready = false;
    const inputs = controls.map((control) =>
      input(control, explorer.id, (value) => {
        values[control.name] = value;
        if (ready) draw();
      }),
    );
    panel.append(...inputs.map(({ row, update }) => (update(), row)));
    explorer.prepend(panel);
    ready = true;
    draw();
  }

  // Paper is white, whatever the screen is.
  const root = document.documentElement.dataset;
  let theme;
  addEventListener("beforeprint", () => { [theme, root.theme] = [root.theme, "light"]; });
  addEventListener("afterprint", () => { root.theme = theme; });

  // On a phone the contents lie over the page: out of the way, once they have led somewhere.
  document.addEventListener("click", ({ target }) => target.closest('dialog[open] a[href^="#"]')?.closest("dialog").close());
})();
