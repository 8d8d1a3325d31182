"use strict";
const lost = document.getElementById("lost");

async function refresh() {
  if (!document.hidden && getSelection().isCollapsed) {
    try {
      const answer = await fetch(location.href, {cache: "no-store", signal: AbortSignal.timeout(5000)});
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      document.title = fresh.title;
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(refresh, 2000);
}

setTimeout(refresh, 2000);
