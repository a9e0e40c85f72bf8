"use strict";
// Filters and sorts the jobs. Without it they are all there, in the manifest's order.
const table = document.getElementById("jobs");
if (table) {
  const form = document.getElementById("filter");
  const jobs = Array.from(table.tBodies, (body) => ({
    body,
    state: body.dataset.state,
    model: body.rows[0].cells[0].textContent.toLowerCase(),
  }));

  const filter = () => {
    const state = form.elements.state.value;
    const words = form.elements.model.value.trim().toLowerCase();
    let shown = 0;
    for (const job of jobs) {
      job.body.hidden = (state !== "" && job.state !== state) || !job.model.includes(words);
      shown += job.body.hidden ? 0 : 1;
    }
    document.getElementById("shown").textContent =
      `${shown.toLocaleString("en")} of ${jobs.length.toLocaleString("en")} ${jobs.length === 1 ? "job" : "jobs"}`;
  };

  // A figure is sorted as one; what has none comes last, whichever the direction.
  const key = (body, column) => {
    const cell = body.rows[0].cells[column];
    if ("value" in cell.dataset) {
      const value = Number(cell.dataset.value.replace("inf", "Infinity"));
      return Number.isNaN(value) ? Infinity : value;
    }
    return cell.textContent.trim().toLowerCase() || null;
  };
  const compare = (one, other) => (typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true }));

  const heads = Array.from(table.tHead.rows[0].cells);
  const sort = (head) => {
    const column = heads.indexOf(head);
    const before = head.getAttribute("aria-sort");
    const figures = jobs.some((job) => "value" in job.body.rows[0].cells[column].dataset);
    const directions = figures ? ["descending", "ascending"] : ["ascending", "descending"];
    const now = directions[directions.indexOf(before) + 1]; // the third time it is the manifest's order again
    for (const each of heads) each.removeAttribute("aria-sort");
    const sorted = jobs.map((job) => ({ body: job.body, key: key(job.body, column) }));
    if (now) {
      head.setAttribute("aria-sort", now);
      const sign = now === "ascending" ? 1 : -1;
      sorted.sort((one, other) => (one.key === null || other.key === null ? (one.key === null) - (other.key === null) : sign * compare(one.key, other.key)));
    }
    table.append(...sorted.map((job) => job.body));
  };

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(head));
    head.replaceChildren(button);
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.classList.add("sortable");
  form.hidden = false;
  filter();
}
