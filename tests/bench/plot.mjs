// SPDX-License-Identifier: MIT
// Bars with their ranges, as SVG that is readable on light and on dark pages.

const LABEL = 150;
const PANEL = 190;
const GAP = 18;
const ROW = 22;
const TOP = 52;

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt()};`);
const short = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/**
 * @param {string} title
 * @param {{label: string, kind: "ours" | "floor" | "other", values: ({median: number, min: number,
 *   max: number} | undefined)[]}[]} rows a value for each panel; none: it failed
 * @param {string[]} panels their titles with units
 * @returns {string}
 */
export function plot(title, rows, panels) {
    const width = LABEL + panels.length * (PANEL + GAP);
    const height = TOP + rows.length * ROW + 8;
    const parts = [
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(title)}">`,
        `<title>${escape(title)}</title>`,
        `<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.unit, .value { fill: #57606a }
.other { fill: #8c959f } .floor { fill: #c8ccd1 } .ours { fill: #0969da }
.range { stroke: #1f2328; stroke-width: 1.5 } .axis { stroke: #8c959f; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .unit, .value { fill: #9198a1 }
.other { fill: #6e7681 } .floor { fill: #3d444d } .ours { fill: #4493f8 } .range { stroke: #e6edf3 }
}
text.ours { font-weight: 600 }
</style>`,
        `<text class="title" x="0" y="16">${escape(title)}</text>`,
    ];
    panels.forEach((panel, index) => {
        const x = LABEL + index * (PANEL + GAP);
        const room = PANEL - 44; // for the value behind the longest bar
        const top = Math.max(...rows.map((row) => row.values[index]?.max ?? 0)) || 1;
        const scale = (value) => (value / top) * room;
        parts.push(`<text class="unit" x="${x}" y="${TOP - 10}">${escape(panel)}</text>`);
        rows.forEach(({ kind, values }, i) => {
            const y = TOP + i * ROW;
            const value = values[index];
            if (!value) {
                parts.push(`<text class="value" x="${x + 4}" y="${y + 13}">failed</text>`);
                return;
            }
            const { median, min, max } = value;
            parts.push(
                `<rect class="${kind}" x="${x}" y="${y + 2}" width="${Math.max(1, scale(median)).toFixed(1)}" height="${ROW - 8}" rx="2"/>`,
                `<path class="range" d="M${(x + scale(min)).toFixed(1)} ${y + ROW / 2 - 2}H${(x + scale(max)).toFixed(1)}"/>`,
                `<text class="value" x="${(x + scale(max) + 6).toFixed(1)}" y="${y + 13}">${short(median)}</text>`,
            );
        });
        parts.push(`<path class="axis" d="M${x} ${TOP - 2}V${height - 6}"/>`);
    });
    rows.forEach(({ label, kind }, i) => {
        const style = kind === 'ours' ? ' class="ours"' : '';
        parts.push(`<text${style} x="${LABEL - 8}" y="${TOP + i * ROW + 13}" text-anchor="end">${escape(label)}</text>`);
    });
    parts.push('</svg>\n');
    return parts.join('\n');
}
