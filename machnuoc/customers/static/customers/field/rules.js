// What is odd about a reading, told before one leaves the door: the rule of plausibility.py (docs/algorithms/readings.md),
// with the thresholds that came with the route. The server judges again. Litres, ISO days; pure.
(() => {
  "use strict";

  const daysBetween = (from, to) => Math.round((Date.parse(to) - Date.parse(from)) / 864e5);
  const capacity = (meter) => 10 ** meter.digits * 1000;

  function isSudden(rules, meter, households, used, days) {
    if (used <= rules.sudden_least_l) return false;
    if (!meter.mean) return used * 30 > rules.first_most_l * Math.max(households, 1) * Math.max(days, 30);
    return used * meter.mean[1] > rules.sudden_factor * meter.mean[0] * days;
  }

  // Returns {used, flags, rolled, confidence}; used is null where the index went back.
  function judge(rules, meter, households, index, onDate) {
    const days = Math.max(daysBetween(meter.before_date, onDate), 1);
    if (index < meter.before_l) {
      const rolled = index + capacity(meter) - meter.before_l;
      const isNearEnd = meter.before_l * 100 >= rules.rollover_from_pct * capacity(meter);
      if (isNearEnd && rolled * 100 <= rules.rollover_most_pct * capacity(meter)) {
        const confidence = isSudden(rules, meter, households, rolled, days) ? "MEDIUM" : "HIGH";
        return { used: null, flags: ["ROLLOVER"], rolled, confidence };
      }
      return { used: null, flags: ["REVERSED"], rolled: null, confidence: "" };
    }
    const used = index - meter.before_l;
    const flags = [];
    if (isSudden(rules, meter, households, used, days)) {
      flags.push("SUDDEN");
      if (capacity(meter) - used <= rules.back_most_l) flags.push("BACKWARDS");
    } else if (used === 0 && meter.mean && days >= 15 && meter.mean[0] * 30 >= rules.zero_least_l * meter.mean[1]) {
      flags.push("ZERO");
    }
    return { used, flags, rolled: null, confidence: "" };
  }

  function fits(rules, one, index, onDate) {
    return !judge(rules, one.meter, one.households, index, onDate).flags.some((flag) => rules.unfit.includes(flag));
  }

  // Whether the readings of two neighbours are likely each other's.
  function areSwapped(rules, one, oneIndex, other, otherIndex, onDate) {
    if (fits(rules, one, oneIndex, onDate) && fits(rules, other, otherIndex, onDate)) return false;
    return fits(rules, one, otherIndex, onDate) && fits(rules, other, oneIndex, onDate);
  }

  function farM(one, other) {
    const north = (one.lat - other.lat) * 111320;
    const east = (one.lon - other.lon) * 111320 * Math.cos((one.lat * Math.PI) / 180);
    return Math.hypot(north, east);
  }

  // The use that is still taken without a question, and the usual one (null without past use).
  function expected(rules, meter, households, onDate) {
    const days = Math.max(daysBetween(meter.before_date, onDate), 1);
    if (!meter.mean) return { usual: null, most: Math.floor(rules.first_most_l * Math.max(households, 1) * Math.max(days, 30) / 30) };
    const [litres, ofDays] = meter.mean;
    return { usual: litres * days / ofDays, most: Math.max(rules.sudden_least_l, Math.floor(rules.sudden_factor * litres * days / ofDays)) };
  }

  // The day in Việt Nam (UTC+7 all year), whatever the phone is set to.
  const localDay = (moment) => new Date(moment + 7 * 3600e3).toISOString().slice(0, 10);

  // As typed: «1288» or «1.288,5». null: nothing; NaN: no number. Litres.
  function litres(text, wholeM3) {
    const plain = text.trim().replace(/\s/g, "");
    if (!plain) return null;
    if (!/^(\d{1,3}(\.\d{3})+|\d+)(,\d{0,3})?$/.test(plain) || (wholeM3 && plain.includes(","))) return NaN;
    const [whole, part = ""] = plain.replace(/\./g, "").split(",");
    return Number(whole) * 1000 + Number(part.padEnd(3, "0"));
  }

  const fold = (text) => text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").replace(/[đĐ]/g, "d").toLowerCase();

  self.fieldRules = { judge, areSwapped, farM, expected, localDay, litres, fold, capacity };
})();
