// Keeps the page of meter readers on the phone: its shell and its files, nothing of a person. Data are in IndexedDB.
"use strict";
const SAID = {{ said|safe }};
const KEPT = "machnuoc-field-" + SAID.version;
self.importScripts(...SAID.imports);

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const shell = await fetch(SAID.shell, { cache: "reload", credentials: "same-origin" });
    // Signed out, the server answers with the page to sign in: the one that is kept must stay.
    if (!shell.ok || shell.redirected) throw new Error("no shell");
    const cache = await caches.open(KEPT);
    await cache.put(SAID.shell, shell);
    await cache.addAll(SAID.assets);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("machnuoc-field-") && name !== KEPT) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || address.origin !== self.location.origin) return;
  const isShell = event.request.mode === "navigate" && address.pathname === SAID.shell;
  if (!isShell && !SAID.assets.includes(address.pathname)) return;
  event.respondWith((async () => {
    const cache = await caches.open(KEPT);
    return (await cache.match(isShell ? SAID.shell : address.pathname)) || fetch(event.request);
  })());
});

// Where the browser knows Background Sync, what waits goes out when the network is back, also with the page closed.
self.addEventListener("sync", (event) => {
  if (event.tag === "field-sending") {
    event.waitUntil(self.fieldSending.run().then((done) => {
      if (done.waiting && done.session !== "out") throw new Error("still waiting"); // the browser tries again
    }));
  }
});
