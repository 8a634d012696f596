/** How the pages write figures. */
export const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
export const signed = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** What is paid for a step, more or less than for the average step that is shown. */
export const pay = new Intl.NumberFormat("en", { maximumFractionDigits: 2, signDisplay: "exceptZero" });

/** A dash for what is not known. */
export const or = (value, text) => (value === null || value === undefined ? "–" : text(value));

export const percent = (share) => `${Math.round(share * 100)} %`;

/** Seconds as somebody would say them: 0.8 s, 42 s, 3 min, 2 h. */
export function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
