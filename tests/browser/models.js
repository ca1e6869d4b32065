// What anywidget gives to `render`: models with state and messages. While `busy`, nothing reaches Python, as in a running cell.

window.busy = false;
const models = new Map();
const waiting = [];
async function deliver(key, data) {
  if (window.busy) return waiting.push([key, data]);
  window.arrive(await window.kernel(key, JSON.stringify(data)));
}
window.free = () => { window.busy = false; for (const [key, data] of waiting.splice(0)) deliver(key, data); };
window.arrive = (messages) => { for (const [key, data] of messages) models.get(key)?.hear(data); };
window.mount = (key, state) => {
  const listeners = {};
  const changed = new Set();
  const tell = (name, ...rest) => { for (const listener of [...(listeners[name] || [])]) listener(...rest); };
  const put = (next) => {
    const names = Object.keys(next).filter((name) => JSON.stringify(state[name]) !== JSON.stringify(next[name]));
    Object.assign(state, next);
    for (const name of names) tell(`change:${name}`);
    return names;
  };
  const model = {
    get: (name) => state[name],
    set: (name, value) => { for (const one of put({ [name]: value })) changed.add(one); },
    save_changes: () => {
      const some = Object.fromEntries([...changed].map((name) => [name, state[name]]));
      if (changed.size) deliver(key, { method: "update", buffer_paths: [], state: some });
      changed.clear();
    },
    on: (name, listener) => { (listeners[name] ||= []).push(listener); },
    off: (name, listener) => { listeners[name] = (listeners[name] || []).filter((one) => one !== listener); },
    send: (content) => deliver(key, { method: "custom", content }),
    widget_manager: { get_model: async () => ({ comm_live: true }) },
  };
  models.set(key, { hear: (data) => (data.method === "custom" ? tell("msg:custom", data.content) : put(data.state)) });
  const el = document.createElement("div");
  el.dataset.widget = key;
  document.body.append(el);
  window.loader.render({ model, el });
};
