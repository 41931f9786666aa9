// charts are drawn while the page is read, when nothing has its final width yet; phones are turned
const fit = new ResizeObserver((entries) => entries.forEach(({target}) => {
  const width = target.clientWidth;
  const height = Math.min(target.dataset.height, Math.round(width * target.dataset.slender));
  const plot = target.querySelector(".js-plotly-plot");
  if (plot._fullLayout.width != width || plot._fullLayout.height != height)
    Plotly.relayout(plot, {width, height});
  plot.style.height = plot.parentElement.style.height = height + "px";
}));
document.querySelectorAll(".chart").forEach((chart) => fit.observe(chart));
