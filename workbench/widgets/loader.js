// What a notebook keeps of the widget: a line to the kernel, and the way to the views, which the kernel sends once a page.
// Messages: {id, ask: request} there, {id, answer} or {id, error: sentence} back, {shown: whether} there (base.py).

const PATIENCE = 2500; // milliseconds until a silent kernel is called busy
const GONE = "No kernel holds this run: run its cell to look inside.";
const BUSY = "The kernel is busy; the answer comes when its running cell has ended.";

function make(tag, name, role) {
  const node = document.createElement(tag);
  node.className = name;
  if (role) node.setAttribute("role", role);
  return node;
}

/** Whether the widget manager knows of a kernel behind the widget; true where it cannot say. */
async function alive(model) {
  try {
    return (await model.widget_manager.get_model(model.get("key"))).comm_live !== false;
  } catch {
    return true;
  }
}

/** {ask, hangUp}: ask(request) resolves to the payload or to {error: sentence}; `say(text)` shows what there is to wait for. */
function line(model, say) {
  const waiting = new Map();
  const own = Math.random().toString(36).slice(2);
  let count = 0;
  let timer = 0;

  function settle(id, found) {
    const resolve = waiting.get(id);
    if (!resolve) return;
    waiting.delete(id);
    if (!waiting.size) {
      clearInterval(timer);
      timer = 0;
      say("");
    }
    resolve(found);
  }

  async function look() {
    if (await alive(model)) return say(BUSY);
    for (const id of [...waiting.keys()]) settle(id, { error: GONE });
  }

  const hear = (message) => settle(message.id, message.error ? { error: message.error } : message.answer);
  model.on("msg:custom", hear);
  return {
    async ask(request) {
      if (!(await alive(model))) return { error: GONE };
      return new Promise((resolve) => {
        const id = `${own}.${++count}`;
        waiting.set(id, resolve);
        timer ||= setInterval(look, PATIENCE);
        model.send({ id, ask: request });
      });
    },
    hangUp() {
      clearInterval(timer);
      model.off("msg:custom", hear);
    },
  };
}

/** The views of the model's version: one copy a page, whichever widget comes first. Resolves to the modules or {error}. */
function viewsOf(model, ask) {
  const known = (window.workbenchWidgets ||= new Map());
  const version = model.get("views");
  if (!known.has(version)) {
    const script = model.get("script");
    const coming = (script ? Promise.resolve({ script }) : ask({ kind: "script" })).then((found) => {
      if (found.error) {
        known.delete(version);
        return found;
      }
      // The script defines window.workbench unless it is there; another version's stays what it was.
      const before = window.workbench;
      delete window.workbench;
      const element = make("script", "");
      element.textContent = found.script;
      document.head.append(element);
      element.remove();
      const modules = window.workbench;
      window.workbench = before;
      return modules || { error: "This page does not allow the views' script to run." };
    });
    known.set(version, coming);
  }
  return known.get(version);
}

/** What the selection `other` of a linked widget means in `model`; selection.py says the same in Python. */
function fitted(model, other) {
  const now = model.get("selection");
  const runs = model.get("runs");
  const run = runs.find(({ name }) => name === other.run) || runs.find(({ name }) => name === now.run);
  if (!run) return now;
  const found = { ...now, run: run.name };
  for (const [part, size] of [["token", run.tokens], ["layer", run.layers]]) {
    if (!(part in now)) continue;
    if (Number.isInteger(other[part]) && other[part] >= 0 && other[part] < size) found[part] = other[part];
    found[part] = Math.min(found[part], size - 1);
  }
  if (!("head" in now)) return found;
  const has = (head) => head === null || run.heads.includes(head);
  if (other.head !== undefined && has(other.head)) found.head = other.head;
  return { ...found, head: has(found.head) ? found.head : null };
}

/** Tells the selection of `model` to the shown widgets that are linked with it. */
function tellLinked(model, selection) {
  const told = new Set([model.get("key")]);
  for (const other of window.workbenchShown) {
    if (told.has(other.get("key")) || !other.get("links").some((link) => model.get("links").includes(link))) continue;
    told.add(other.get("key"));
    other.set("selection", fitted(other, selection));
    other.save_changes();
  }
}

async function render({ model, el }) {
  const place = make("div", "wb-look");
  const status = make("p", "wb-look-status", "status");
  // Arrow keys are the views' own, not JupyterLab's shortcuts.
  place.dataset.lmSuppressShortcuts = "true";
  el.append(place, status);
  const say = (text) => { status.textContent = text; };
  const { ask, hangUp } = line(model, say);
  const all = (window.workbenchShown ||= []);
  const appears = (shown) => alive(model).then((there) => there && model.send({ shown }));
  let shown = null;
  let left = false;
  all.push(model);
  appears(true);
  viewsOf(model, ask).then((views) => {
    if (left) return;
    if (views.error) say(views.error);
    else shown = views[model.get("host")].start(model, place, ask, (selection) => tellLinked(model, selection));
  });
  return () => {
    left = true;
    all.splice(all.indexOf(model), 1);
    appears(false);
    hangUp();
    if (shown) shown.destroy();
  };
}

export default { render };
