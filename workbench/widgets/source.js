// The source of the views' data in a notebook: every request goes to the kernel (runview.py), which answers from what was captured.

/** The source of the views' data; ids of runs are this view's own, so that several views share a page. */
export function sourceOf(ask, nameOf, two) {
  const opened = new Map();
  const of = (run, kind, more) => ask({ ...more, kind, run: nameOf(run) });
  const open = (run) => {
    if (!opened.has(run)) {
      opened.set(run, of(run, "open").then((found) => {
        if (found.error) opened.delete(run);
        else for (const payload of Object.values(found)) payload.run = run;
        return found;
      }));
    }
    return opened.get(run);
  };
  const difference = (run, other, request) => ask({ ...request, kind: "difference" }).then((found) => ("run" in found ? { ...found, run, other } : found));
  return {
    open,
    layer: (run, layer) => of(run, "layer", { layer }),
    row: (run, token, layer) => of(run, "row", { token, layer }),
    lens: (run, token) => of(run, "lens", { token }),
    next: (run, token) => of(run, "next", { token }),
    ...(two ? { difference } : {}),
    ...Object.fromEntries(["data", "code", "page"].map((kind) => [kind, (run, request) => of(run, kind, request)])),
  };
}

/** The actions of one run's strip. */
export function taken(source, run) {
  const or = (found) => {
    if (found.error) throw new Error(found.error);
    return found;
  };
  return Object.fromEntries(["data", "code", "page"].map((kind) => [kind, (request) => source[kind](run, request).then(or)]));
}
