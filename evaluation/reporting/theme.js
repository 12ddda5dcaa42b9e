// The button that turns from light to dark and back.
function followTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement, button = document.getElementById("theme");
  const is = () => root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  const name = () => { button.textContent = is() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.theme = is() ? "light" : "dark"; name(); });
  dark.addEventListener("change", name);
  name();
}
