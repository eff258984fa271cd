// <button data-copy="id"> copies the text of the element with that id.
(() => {
  "use strict";

  async function copy(button) {
    const text = document.getElementById(button.dataset.copy).textContent;
    button.dataset.label ??= button.textContent;
    button.textContent = (await written(text)) ? "Copied" : "Select the text to copy it";
    setTimeout(() => { button.textContent = button.dataset.label; }, 2000);
  }

  // Browsers have no clipboard API over plain HTTP, but they can copy a selection.
  async function written(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
    const area = Object.assign(document.createElement("textarea"), { value: text, className: "away" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
})();
