// Sends what waits, when there is network: in small batches, each item believed only when the server has said its fate.
(() => {
  "use strict";
  const store = self.fieldStore;
  const ITEMS_MOST = 20, BYTES_MOST = 3.5e6, FATES_MOST = 500, KEPT_DAYS = 45, FAILURES_MOST = 3;
  const news = "BroadcastChannel" in self ? new BroadcastChannel("machnuoc-field") : null;

  const tell = () => news && news.postMessage("changed");
  class NoNetwork extends Error {}
  class Trouble extends Error {} // the server answers, and not as it should

  const ask = (address, options = {}) =>
    fetch(address, { redirect: "manual", cache: "no-store", credentials: "same-origin", ...options })
      .catch(() => { throw new NoNetwork(); });
  const isOut = (answer) => answer.type === "opaqueredirect" || answer.status === 401;
  const waitMs = (tries) => Math.min(5000 * 2 ** Math.min(tries, 8), 15 * 60e3);

  // Asks who is signed in. Data of anybody else leave the phone, but for what still waits to be sent.
  async function askMe() {
    const answer = await ask("/di-ghi/toi");
    if (isOut(answer)) return { session: "out" };
    if (answer.status === 403) {
      await forget(); // who may not read any more keeps no names and addresses
      return { session: "forbidden" };
    }
    if (!answer.ok) throw new Trouble(`status ${answer.status}`);
    const me = await answer.json();
    me.skew_ms = Date.parse(me.now) - Date.now();
    const before = await store.get("meta", "me");
    if (!before || before.person.id !== me.person.id) await store.clear(me.person.id);
    const { csrf, ...kept } = me;
    await store.put("meta", { ...kept, asked_at: Date.now() }, "me");
    await store.dropClosed(me.person.id, new Set(me.open));
    return { session: "in", me };
  }

  // Takes everything about customers off the phone, but for what still waits to be sent.
  async function forget() {
    await store.clear(null);
    await store.remove("meta", "me");
  }

  const asBase64 = async (blob) => {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  };

  async function bodyOf(item) {
    const { client_id, connection, code, period, serial, index_l, no_access, read_at, confirmed, note, position } = item;
    const body = { client_id, connection, code, period, serial, index_l, no_access, read_at, confirmed, note, position };
    try {
      if (item.photo) body.photo = await asBase64(item.photo);
    } catch { // some browsers lose a picture: the reading goes without it
      body.note = `${note || ""} (máy không đọc lại được ảnh)`.trim();
    }
    return body;
  }

  async function sendBatch(me, items) {
    const bodies = [];
    for (const item of items) bodies.push(JSON.stringify(await bodyOf(item)));
    return ask("/di-ghi/gui", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": me.csrf },
      body: `{"person":${me.person.id},"sent_at":"${new Date().toISOString()}","items":[${bodies.join(",")}]}`,
    });
  }

  // Takes the next items that wait and fit into one batch, and marks them as being sent.
  async function nextBatch(person, force, most, skip) {
    const due = (item) => item.state === "SENDING" || force || item.next_at <= Date.now();
    const found = (await store.all("queue"))
      .filter((item) => item.person === person && store.isUnsent(item) && due(item) && !skip.has(item.client_id))
      .sort((one, other) => one.made_at - other.made_at);
    const batch = [];
    let bytes = 0;
    for (const item of found) {
      bytes += (item.photo ? item.photo.size * 1.4 : 0) + 1000;
      if (batch.length && (batch.length === most || bytes > BYTES_MOST)) break;
      const marked = await store.change(item.client_id, store.isUnsent, { state: "SENDING", tries: item.tries + 1 });
      if (marked) batch.push(marked);
    }
    return batch;
  }

  const putBack = (batch, reason) => Promise.all(batch.map((item) => store.change(
    item.client_id, store.isUnsent, { state: "WAITING", reason, next_at: Date.now() + waitMs(item.tries) })));

  async function sendAll(me, force) {
    const done = new Set();
    let most = ITEMS_MOST, hasNewToken = false, sent = 0, failures = 0;
    for (;;) {
      const batch = await nextBatch(me.person.id, force, most, done);
      if (!batch.length) return sent;
      tell();
      let answer;
      try {
        answer = await sendBatch(me, batch);
      } catch (error) {
        await putBack(batch, "Chưa nối được tới máy chủ.");
        throw error;
      }
      if (isOut(answer)) {
        await putBack(batch, "Phiên đăng nhập đã hết.");
        return "out";
      }
      if (answer.status === 403 && !hasNewToken) {
        hasNewToken = true;
        await putBack(batch, "");
        const again = await askMe();
        if (again.session !== "in" || again.me.person.id !== me.person.id) return "out";
        me = again.me;
        force = true;
        continue;
      }
      if (!answer.ok) {
        // Part of the batch may be at fault: the others are not held up by it.
        if ((answer.status === 400 || answer.status === 413 || answer.status >= 500) && batch.length > 1) {
          most = Math.ceil(batch.length / 2);
          await putBack(batch, "");
          force = true;
          continue;
        }
        const said = await answer.json().catch(() => ({}));
        await putBack(batch, said.error || `Máy chủ chưa nhận được (mã ${answer.status}). Sẽ gửi lại.`);
        for (const item of batch) done.add(item.client_id);
        failures += 1;
        if (failures === FAILURES_MOST) return sent;
        continue;
      }
      const { receipts } = await answer.json();
      const fates = new Map(receipts.map((one) => [one.client_id, one]));
      for (const item of batch) {
        done.add(item.client_id);
        const told = fates.get(item.client_id);
        if (!told) {
          await putBack([item], "Máy chủ chưa trả lời cho mục này. Sẽ gửi lại.");
          continue;
        }
        sent += 1;
        const isKept = told.fate === "REFUSED";
        await store.change(item.client_id, () => true, {
          state: told.fate, reason: told.reason, told_at: Date.now(), photo: isKept ? item.photo : null,
        });
      }
      tell();
    }
  }

  // Asks what the office and other phones made of what was sent.
  async function refreshFates(me) {
    const sent = (await store.all("queue")).filter((item) => item.person === me.person.id && !store.isUnsent(item));
    for (const item of sent.filter((one) => Date.now() - one.made_at > KEPT_DAYS * 864e5)) await store.remove("queue", item.client_id);
    for (let at = 0; at < sent.length; at += FATES_MOST) {
      const ids = sent.slice(at, at + FATES_MOST).map((item) => item.client_id);
      const answer = await ask("/di-ghi/ket-qua", {
        method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": me.csrf }, body: JSON.stringify({ ids }),
      });
      if (!answer.ok) return;
      for (const one of (await answer.json()).fates) {
        await store.change(one.client_id, (item) => !store.isUnsent(item) && item.state !== one.fate, { state: one.fate, reason: one.reason });
      }
    }
    tell();
  }

  // Returns {session: "in" | "out" | "forbidden" | "offline" | "trouble", sent, waiting}. force: now, whatever the back-off says.
  async function work(force) {
    let session = "offline", sent = 0;
    try {
      const asked = await askMe();
      session = asked.session;
      if (session === "in") {
        const done = await sendAll(asked.me, force);
        if (done === "out") session = "out";
        else {
          sent = done;
          await refreshFates(asked.me);
        }
      }
    } catch (error) {
      if (!(error instanceof NoNetwork) && !(error instanceof Trouble)) throw error;
      session = error instanceof Trouble ? "trouble" : "offline";
    }
    const waiting = (await store.all("queue")).filter(store.isUnsent).length;
    return { session, sent, waiting };
  }

  // One at a time on this phone, over all tabs and the worker; who comes second waits for the first.
  function run(force = false) {
    if (!self.navigator.locks) return work(force);
    return self.navigator.locks.request("machnuoc-field-sending", () => work(force));
  }

  self.fieldSending = { run, askMe, ask, isOut, forget, NoNetwork };
})();
