// Liveness, keyboard and confirmation. Every view can be read without this script.
//
// A view is live because its own page is fetched again as a document, and elements marked
// `data-live` are replaced by those with the same id. Nothing is built from text that is markup.

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const connection = $("#connection");
const say = (text) => { if (connection) connection.textContent = text; };

// ---- Times -------------------------------------------------------------------------------------

function ago(at, now = Date.now()) {
  const seconds = (now - at) / 1000;
  const size = Math.abs(seconds);
  if (seconds > -1 && seconds < 2) return "now";
  const rough = size < 60 ? `${Math.floor(size)} s`
    : size < 3600 ? `${Math.floor(size / 60)} min`
    : size < 172800 ? `${Math.floor(size / 3600)} h`
    : `${Math.floor(size / 86400)} days`;
  return seconds < 0 ? `in ${rough}` : `${rough} ago`;
}

function tick() {
  for (const time of $$("time[datetime]")) {
    const text = ago(Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}

// ---- The same page again -----------------------------------------------------------------------

function fetchDocument(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = 15000;
    request.onload = () => {
      if (request.status === 401 || new URL(request.responseURL).pathname === "/login") location.reload();
      else if (request.response && request.status < 500) resolve(request.response);
      else reject(new Error(`status ${request.status}`));
    };
    request.onerror = () => reject(new Error("no connection"));
    request.ontimeout = () => reject(new Error("no answer"));
    request.send();
  });
}

// Returns what has the focus in an element, so that its successor gets it.
function focused(element) {
  const active = document.activeElement;
  if (!active || !element.contains(active)) return null;
  if (active.id) return `#${CSS.escape(active.id)}`;
  const link = active.getAttribute("href");
  if (link) return `a[href="${CSS.escape(link)}"]`;
  const { action, body } = active.dataset;
  if (!action) return null;
  const same = body === undefined ? "" : `[data-body="${CSS.escape(body)}"]`;
  return `[data-action="${CSS.escape(action)}"]${same}`;
}

function replace(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const active = document.activeElement;
  if (active && old.contains(active) && active.matches("input, textarea, select")) return;
  const selection = getSelection();
  if (selection && !selection.isCollapsed && old.contains(selection.anchorNode)) return;
  const focus = focused(old);
  const open = new Set($$("details[open][id]", old).map((details) => details.id));
  const outputs = new Map($$("[data-output][id]", old).map((output) => [output.id, output]));
  const seen = new Set($$("tr[id]", old).map((row) => row.id));
  const imported = document.importNode(fresh, true);
  for (const details of $$("details[id]", imported)) if (open.has(details.id)) details.open = true;
  for (const output of $$("[data-output][id]", imported)) {
    // The output of a running command is its own stream.
    const known = outputs.get(output.id);
    if (known && known.dataset.output === output.dataset.output) output.replaceWith(known);
  }
  if (seen.size) for (const row of $$("tr[id]", imported)) row.classList.toggle("new", !seen.has(row.id));
  old.replaceWith(imported);
  if (focus) $(focus, imported)?.focus({ preventScroll: true });
  tick();
}

let refreshing = null;
let again = false;

// Fetches this page again and replaces what is live. One request at a time.
function refresh() {
  if (refreshing) { again = true; return refreshing; }
  refreshing = (async () => {
    try {
      const fresh = await fetchDocument(location.href);
      for (const old of $$("[data-live][id]")) {
        const successor = fresh.getElementById(old.id);
        if (successor) replace(old, successor);
      }
      follow();
      say(document.hidden ? "paused" : "live");
    } catch (error) {
      say(`not live: ${error.message}`);
    } finally {
      refreshing = null;
    }
    if (again) { again = false; setTimeout(refresh, 500); }
  })();
  return refreshing;
}

const busy = () => document.hidden || $$("dialog[open]").length > 0;

function startRefreshing() {
  const every = Number($("[data-every]")?.dataset.every);
  if (!every) return;
  setInterval(() => { if (!busy()) refresh(); }, Math.max(every, 1000));
  say("live");
}

// ---- Arrivals ----------------------------------------------------------------------------------

function startArrivals() {
  const list = () => $("#arrivals");
  if (!list()) return;
  const filter = new URLSearchParams(location.search).get("q") ?? "";
  const isFirstPage = !new URLSearchParams(location.search).has("before");
  if (!isFirstPage || list().dataset.cursor === undefined) return;
  const news = $("#news");
  const first = Number(list().dataset.total);
  let source = null;
  let waiting = 0;
  let shownAt = 0;
  let timer = null;

  const isReading = () =>
    scrollY > 60 || list().contains(document.activeElement) || busy();

  function offer(count) {
    waiting = count;
    news.replaceChildren();
    if (!count) return;
    const button = document.createElement("button");
    button.type = "button";
    button.id = "show-news";
    button.textContent = `${count.toLocaleString("en")} new`;
    button.addEventListener("click", () => { scrollTo(0, 0); main().focus({ preventScroll: true }); show(); });
    news.append(button);
  }

  async function show() {
    clearTimeout(timer);
    timer = null;
    shownAt = Date.now();
    await refresh();
    offer(0);
    // A filtered list counts from the rows that it shows.
    if (filter) listen();
  }

  function heard(message) {
    const { total, count } = JSON.parse(message.data);
    const arrived = $("#arrived");
    if (arrived && !filter) arrived.textContent = `${(total - first).toLocaleString("en")} arrived since you opened this page`;
    const unseen = filter ? count : total - Number(list().dataset.total);
    if (unseen <= 0) { if (waiting) offer(0); return; }
    if (isReading()) { offer(unseen); return; }
    // At most one fetch a second, however much arrives.
    timer ??= setTimeout(() => { if (isReading()) { timer = null; offer(unseen); } else show(); },
      Math.max(0, 1000 - (Date.now() - shownAt)));
  }

  function listen() {
    source?.close();
    const query = new URLSearchParams({ q: filter, after: list().dataset.cursor });
    source = new EventSource(`/api/v1/arrivals/stream?${query}`);
    source.addEventListener("arrivals", heard);
    source.addEventListener("open", () => say("live"));
    source.addEventListener("error", () => {
      say("not live: connecting again");
      if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden) listen(); }, 5000);
    });
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; say("paused"); }
    else { show().then(() => { if (!source || source.readyState === EventSource.CLOSED) listen(); }); }
  });
  listen();
}

// ---- Output of a running command ---------------------------------------------------------------

const MAX_OUTPUT = 256 * 1024;
const following = new Map();

function follow() {
  for (const [id, source] of following) {
    if (!document.getElementById(id)) { source.close(); following.delete(id); }
  }
  for (const output of $$("[data-output][id]")) {
    if (following.has(output.id)) continue;
    const source = new EventSource(output.dataset.output);
    following.set(output.id, source);
    const add = (text, kind) => {
      const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      output.append(part);
      while (output.textContent.length > MAX_OUTPUT && output.childElementCount > 1) output.firstElementChild.remove();
      if (atEnd) output.scrollTop = output.scrollHeight;
    };
    source.addEventListener("output", (message) => {
      const { stream, text } = JSON.parse(message.data);
      add(text, stream);
    });
    source.addEventListener("left_out", (message) => {
      add(`\n… ${JSON.parse(message.data).bytes} bytes left out …\n`, "soft");
    });
    source.addEventListener("end", () => { source.close(); refresh(); });
  }
}

// A page that is not seen keeps no stream: browsers open at most six connections to a server.
function unfollow() {
  for (const [id, source] of following) {
    source.close();
    document.getElementById(id)?.replaceChildren();
  }
  following.clear();
}

// ---- Actions -----------------------------------------------------------------------------------

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  const text = await answer.text();
  let data;
  try { data = JSON.parse(text); } catch { data = { error: text.trim() || `status ${answer.status}` }; }
  if (!answer.ok) throw new Error(data.error ?? data.summary?.join("\n") ?? `status ${answer.status}`);
  return data;
}

function lines(texts) {
  const box = document.createElement("pre");
  box.textContent = texts.join("\n");
  box.tabIndex = 0;
  return box;
}

// Adds the choices of an action: `[{name, label, options: [[value, label], …]}]`.
function addChoices(box, choices) {
  for (const { name, label, options } of choices) {
    const group = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = label;
    group.append(legend);
    options.forEach(([value, text], index) => {
      const line = document.createElement("label");
      line.className = "inline";
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name, value, checked: index === 0, required: true });
      line.append(input, ` ${text}`);
      group.append(line, document.createElement("br"));
    });
    box.append(group);
  }
}

// Adds a field into which the number of things must be typed. Returns it.
function addCount(box, count) {
  const label = document.createElement("label");
  label.textContent = `Type ${count} to confirm`;
  const input = document.createElement("input");
  Object.assign(input, { id: "confirm-count", inputMode: "numeric", autocomplete: "off" });
  label.htmlFor = input.id;
  box.append(label, input);
  return input;
}

async function act(button) {
  const { action, title, text, danger, dry, count, choices, then } = button.dataset;
  const body = { ...JSON.parse(button.dataset.body ?? "{}"), ...fieldsOf(button) };
  const dialog = $("#confirm");
  const ok = $("#confirm-ok");
  $("#confirm-title").textContent = title ?? button.textContent;
  const shown = $("#confirm-text");
  const fields = $("#confirm-fields");
  shown.replaceChildren(text ?? "");
  fields.replaceChildren();
  ok.textContent = button.textContent.trim();
  ok.classList.toggle("danger", danger !== undefined);
  ok.disabled = false;
  dialog.returnValue = "";
  dialog.showModal();
  let counted = count === undefined ? null : Number(count);
  if (dry !== undefined) {
    ok.disabled = true;
    try {
      const separator = action.includes("?") ? "&" : "?";
      const answer = await post(`${action}${separator}dry_run=1`, body);
      shown.append(lines(answer.summary ?? []));
      if (answer.count !== undefined && answer.count !== null) {
        body.count = answer.count;
        if (answer.count > 1) counted = answer.count;
      }
      ok.disabled = answer.possible === false;
    } catch (error) {
      shown.append(lines([error.message]));
      return;
    }
  }
  if (choices) addChoices(fields, JSON.parse(choices));
  if (counted !== null && counted > 1) {
    const typed = addCount(fields, counted);
    ok.disabled = true;
    typed.addEventListener("input", () => { ok.disabled = typed.value.trim() !== String(counted); });
    typed.focus();
  }
  if (!dialog.open) return;
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "ok" || ok.disabled) return;
  for (const chosen of $$("input[type=radio]:checked", fields)) body[chosen.name] = chosen.value;
  try {
    const answer = await post(action, body);
    announce((answer.summary ?? ["done"]).join("\n"), "ok");
    if (then === "open" && answer.location) { location.assign(answer.location); return; }
    if (then === "list") { history.length > 1 ? history.back() : location.assign("/"); return; }
  } catch (error) {
    announce(error.message, "bad");
  }
  await refresh();
}

// The values of the form that a button belongs to.
function fieldsOf(button) {
  if (!button.form) return {};
  const values = {};
  for (const [name, value] of new FormData(button.form)) {
    if (value === "") continue;
    if (name.startsWith("path.")) (values.path ??= []).push([name.slice(5), value]);
    else values[name] = value;
  }
  for (const box of $$("input[type=checkbox][name]", button.form)) values[box.name] = box.checked;
  return values;
}

function announce(text, kind) {
  $("#announcement")?.remove();
  const notice = document.createElement("p");
  notice.id = "announcement";
  notice.className = `notice ${kind}`;
  notice.setAttribute("role", "status");
  notice.textContent = text;
  main().prepend(notice);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

// ---- The filter and its suggestions ------------------------------------------------------------

function startFilter() {
  const input = $("#filter");
  const list = $("#suggestions");
  if (!input || !list) return;
  let chosen = -1;
  let asked = 0;
  let items = [];

  function close() {
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    chosen = index;
    $$("li", list).forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    if (index >= 0) {
      input.setAttribute("aria-activedescendant", `suggestion-${index}`);
      list.children[index].scrollIntoView({ block: "nearest" });
    }
  }

  function take(index) {
    const { text, replaces } = items[index];
    const end = input.selectionStart;
    const start = Math.max(end - replaces, 0);
    input.value = input.value.slice(0, start) + text + input.value.slice(end);
    const at = start + text.length;
    input.setSelectionRange(at, at);
    close();
    input.focus();
    if (text.endsWith(":")) ask();
  }

  async function ask() {
    const mine = ++asked;
    const query = new URLSearchParams({ q: input.value, at: String([...input.value.slice(0, input.selectionStart)].length) });
    let answer;
    try { answer = await (await fetch(`/api/v1/suggestions?${query}`)).json(); } catch { return; }
    if (mine !== asked || document.activeElement !== input) return;
    items = answer.suggestions ?? [];
    list.replaceChildren(...items.map(({ text, meaning }, index) => {
      const item = document.createElement("li");
      const note = document.createElement("span");
      Object.assign(note, { className: "soft", textContent: ` ${meaning}` });
      item.append(text, note);
      item.id = `suggestion-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.addEventListener("pointerdown", (event) => { event.preventDefault(); take(index); });
      return item;
    }));
    if (!items.length) { close(); return; }
    list.hidden = false;
    chosen = -1;
    input.setAttribute("aria-expanded", "true");
  }

  let pause;
  // Suggestions name places in the text that they were made for. Another text needs others.
  input.addEventListener("input", () => { asked += 1; close(); clearTimeout(pause); pause = setTimeout(ask, 80); });
  input.addEventListener("focus", ask);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (list.hidden) { input.blur(); main().focus({ preventScroll: true }); } else close();
      event.preventDefault();
    } else if (!list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose((chosen + step + items.length + (chosen < 0 && step < 0 ? 1 : 0)) % items.length);
      event.preventDefault();
    } else if (!list.hidden && (event.key === "Enter" || event.key === "Tab") && chosen >= 0) {
      take(chosen);
      event.preventDefault();
    }
  });
}

// ---- Keyboard ----------------------------------------------------------------------------------

const GO = { a: "/", r: "/rules", q: "/queue", p: "/problems", t: "/try", s: "/system" };
const main = () => $("#main");

function move(step) {
  const links = $$(".rows tbody a.open");
  if (!links.length) return;
  const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
}

// The button of a key: in the row that has the focus, else the only one of the view.
function press(key) {
  const row = document.activeElement?.closest("tr");
  const inRow = row && $(`[data-key="${key}"]`, row);
  const all = $$(`[data-key="${key}"]`).filter((button) => !button.disabled);
  const button = inRow ?? (all.length === 1 ? all[0] : null);
  if (button) button.click();
}

let went = 0;

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  if (Date.now() - went < 1500 && GO[event.key]) { went = 0; event.preventDefault(); location.assign(GO[event.key]); return; }
  went = 0;
  switch (event.key) {
    case "/": {
      const filter = $("#filter");
      if (filter) { filter.focus(); filter.select(); } else location.assign("/#filter");
      break;
    }
    case "j": move(1); break;
    case "k": move(-1); break;
    case "g": went = Date.now(); break;
    case "r": case "d": press(event.key); break;
    case "?": $("#help").showModal(); break;
    case "Escape": document.activeElement?.blur(); return;
    default: return;
  }
  event.preventDefault();
}

document.addEventListener("keydown", pressed);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.action) { event.preventDefault(); act(button); }
  else if (button.dataset.copy) copy(button);
  else if (button.dataset.help !== undefined) $("#help").showModal();
  else if (button.dataset.logout !== undefined) post("/logout").finally(() => location.assign("/login"));
});

document.documentElement.classList.add("scripted");
if (location.hash === "#filter") $("#filter")?.focus();
setInterval(tick, 5000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) unfollow();
  else if ($("[data-every]")) refresh();
});
startFilter();
startRefreshing();
startArrivals();
follow();
