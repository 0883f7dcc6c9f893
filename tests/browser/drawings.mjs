// What the drawings show, judged by where the browser put it and in which colours.

// The least contrast of text in WCAG 2.1. The rules of axe leave drawings out.
const LEAST_CONTRAST = 4.5;

// The first frame of an overlap is seen, and two lanes hold from its begin to its end.
export function overlap(tab) {
  return tab.evaluate(() => {
    const frame = document.querySelector('article.violation .overlapframe');
    if (!frame) return ['there is no frame'];
    const at = ({ left, right }) => `${left.toFixed(1)} to ${right.toFixed(1)}`;
    const box = frame.getBoundingClientRect();
    if (!frame.checkVisibility() || box.width < 1 || box.height < 1) {
      return [`the frame is not seen: ${at(box)}, ${box.height.toFixed(1)} high`];
    }
    const bars = [...frame.ownerSVGElement.querySelectorAll('rect.held')].map((bar) =>
      bar.getBoundingClientRect(),
    );
    // A pixel more or less: a frame that is too narrow to be seen is widened.
    const holdsThroughout = (bar) => bar.left <= box.left + 1 && bar.right >= box.right - 1;
    const inFrame = (bar) => bar.top >= box.top - 1 && bar.bottom <= box.bottom + 1;
    const around = bars.filter((bar) => holdsThroughout(bar) && inFrame(bar));
    const lanes = new Set(around.map((bar) => Math.round(bar.top)));
    const held = `who holds: ${bars.map(at).join(', ')}`;
    const told = `${lanes.size} lanes hold in the frame from ${at(box)}; ${held}`;
    return lanes.size >= 2 ? [] : [told];
  });
}

// Each kind of text stands out from what may be behind it: a bar, or the ground and a fault on it.
export function contrast(tab) {
  return tab.evaluate((least) => {
    const rgb = (color) => color.match(/[\d.]+/g).map(Number);
    const painted = ([r, g, b, alpha = 1], ground) =>
      [r, g, b].map((channel, n) => channel * alpha + ground[n] * (1 - alpha));
    const luminance = (color) => {
      const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      const [r, g, b] = color.map((channel) => linear(channel / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => {
      const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
      return (light + 0.05) / (dark + 0.05);
    };
    const problems = new Map();
    for (const svg of document.querySelectorAll('.scroll svg')) {
      const fill = (selector, ground) =>
        [...svg.querySelectorAll(selector)]
          .slice(0, 1)
          .map((shape) => painted(rgb(getComputedStyle(shape).fill), ground));
      const ground = rgb(getComputedStyle(svg).backgroundColor);
      const open = [ground, ...fill('rect.fault:not(.unbitten)', ground)];
      const bar = fill('.held', ground);
      for (const text of svg.querySelectorAll('text')) {
        const kind = text.getAttribute('class');
        const color = rgb(getComputedStyle(text).fill);
        const behind = text.matches('.onbar') ? bar : open;
        const found = Math.min(...behind.map((other) => ratio(color, other)));
        if (found >= least) continue;
        const told = `a contrast of ${found.toFixed(2)}, of at least ${least}`;
        problems.set(kind, `"${text.textContent}", a ${kind}, has ${told}`);
      }
    }
    return [...problems.values()];
  }, LEAST_CONTRAST);
}
