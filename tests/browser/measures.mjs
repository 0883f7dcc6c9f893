// How large, how fast and how wide a page is.

const MAX_BYTES = 2_000_000;

// Far more than a page takes, since other tests run beside this one: the printed figures count.
const MAX_MS = 5000;

export async function size(tab, name) {
  const bytes = await tab.evaluate(
    () => performance.getEntriesByType('navigation')[0].decodedBodySize,
  );
  console.log(`${name}: ${bytes} bytes`);
  return bytes > 0 && bytes <= MAX_BYTES ? [] : [`${bytes} bytes, of at most ${MAX_BYTES}`];
}

// When the page was first seen, and when all of it was there, by the browser's own clock.
export async function speed(tab, name) {
  const times = await tab.evaluate(async () => {
    const paint = await new Promise((resolve) => {
      const first = (list) => list.getEntriesByName('first-contentful-paint').forEach(resolve);
      new PerformanceObserver(first).observe({ type: 'paint', buffered: true });
    });
    return [paint.startTime, performance.getEntriesByType('navigation')[0].loadEventEnd];
  });
  const [drawn, loaded] = times.map(Math.round);
  const told = `drawn after ${drawn} ms, loaded after ${loaded} ms`;
  console.log(`${name}: ${told}`);
  return Math.max(drawn, loaded) <= MAX_MS ? [] : [`${told}, of at most ${MAX_MS} ms`];
}

// The page itself goes down only, and nothing sticks out of a region that cannot scroll.
export function overflow(tab) {
  return tab.evaluate(() => {
    const page = document.documentElement;
    const still = (region) => getComputedStyle(region).overflowX === 'visible';
    const regions = [page, ...[...document.querySelectorAll('.scroll')].filter(still)];
    const widest = (region) => {
      const right = (element) => element.getBoundingClientRect().right;
      const inside = [...region.querySelectorAll('*')].filter(
        (element) => region !== page || !element.parentElement.closest('.scroll'),
      );
      return inside.reduce((a, b) => (right(b) >= right(a) ? b : a)).outerHTML.slice(0, 120);
    };
    return regions
      .filter((region) => region.scrollWidth > region.clientWidth + 1)
      .map((region) => `${region.scrollWidth} px in ${region.clientWidth} px: ${widest(region)}`);
  });
}
