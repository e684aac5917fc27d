// What is kept on the phone (IndexedDB): who reads, routes taken along, and the queue. Used by the page and its worker.
(() => {
  "use strict";
  const NAME = "machnuoc-field";
  let opened = null;

  function open() {
    opened = opened || new Promise((resolve, reject) => {
      const asked = indexedDB.open(NAME, 1);
      asked.onupgradeneeded = () => {
        asked.result.createObjectStore("meta");
        asked.result.createObjectStore("packages", { keyPath: "key" }); // «person:round»
        asked.result.createObjectStore("queue", { keyPath: "client_id" });
      };
      asked.onsuccess = () => {
        asked.result.onversionchange = () => { asked.result.close(); opened = null; };
        asked.result.onclose = () => { opened = null; };
        resolve(asked.result);
      };
      asked.onerror = () => { opened = null; reject(asked.error); };
    });
    return opened;
  }

  // Runs work(store, …) in one transaction and returns what it gave once it is safely on disk.
  async function inside(names, mode, work) {
    const database = await open();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(names, mode, { durability: "strict" });
      let given;
      transaction.oncomplete = () => resolve(given && "result" in given ? given.result : given);
      transaction.onabort = () => reject(transaction.error || new DOMException("aborted", "AbortError"));
      given = work(...names.map((name) => transaction.objectStore(name)));
    });
  }

  const get = (name, key) => inside([name], "readonly", (store) => store.get(key));
  const all = (name) => inside([name], "readonly", (store) => store.getAll());
  const put = (name, value, key) => inside([name], "readwrite", (store) => { store.put(value, key); });
  const remove = (name, key) => inside([name], "readwrite", (store) => { store.delete(key); });

  // Changes one item only if it is still there and `when` holds: the page and the worker may act at the same moment.
  const change = (clientId, when, what) => inside(["queue"], "readwrite", (queue) => {
    const found = { result: null };
    queue.get(clientId).onsuccess = (event) => {
      const item = event.target.result;
      if (!item || !when(item)) return;
      found.result = { ...item, ...what };
      queue.put(found.result);
    };
    return found;
  });

  // Removes one item only if `when` holds; gives whether it did.
  const drop = (clientId, when) => inside(["queue"], "readwrite", (queue) => {
    const done = { result: false };
    queue.get(clientId).onsuccess = (event) => {
      if (event.target.result && when(event.target.result)) {
        queue.delete(clientId);
        done.result = true;
      }
    };
    return done;
  });

  const isUnsent = (item) => item.state === "WAITING" || item.state === "SENDING";

  // Takes routes off the phone, of all people but one; what was sent by them too. What waits stays, whosever it is.
  const clear = (exceptPerson) => inside(["packages", "queue"], "readwrite", (packages, queue) => {
    packages.openCursor().onsuccess = (event) => {
      const cursor = event.target.result;
      if (!cursor) return;
      if (cursor.value.person !== exceptPerson) cursor.delete();
      cursor.continue();
    };
    queue.openCursor().onsuccess = (event) => {
      const cursor = event.target.result;
      if (!cursor) return;
      if (cursor.value.person !== exceptPerson && !isUnsent(cursor.value)) cursor.delete();
      cursor.continue();
    };
  });

  // Takes a person's routes off the phone whose rounds are over or somebody else's, but for those with unsent items.
  const dropClosed = (person, open) => inside(["packages", "queue"], "readwrite", (packages, queue) => {
    queue.getAll().onsuccess = (event) => {
      const waiting = new Set(event.target.result.filter(isUnsent).map((item) => item.round));
      packages.openCursor().onsuccess = (next) => {
        const cursor = next.target.result;
        if (!cursor) return;
        const { person: whose, round } = cursor.value;
        if (whose === person && !open.has(round) && !waiting.has(round)) cursor.delete();
        cursor.continue();
      };
    };
  });

  self.fieldStore = { get, all, put, remove, change, drop, dropClosed, clear, isUnsent };
})();
