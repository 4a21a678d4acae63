// The API as a page, of its own OpenAPI schema.

import { get } from "./api.js";
import { $, at, make } from "./dom.js";

function kind(schema = {}) {
  if (schema.const) return schema.const;
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.anyOf) return schema.anyOf.filter((one) => one.type !== "null").map(kind).join(" | ");
  return schema.format || schema.type || "";
}

function row({ name, in: place, required, schema, description }) {
  const plain = schema?.default === undefined || schema.default === null ? "" : `, by default ${schema.default}`;
  return make("tr", {}, make("td", {}, make("code", {}, name)), make("td", { className: "faint" }, `${place}, ${kind(schema)}${required ? ", required" : plain}`), make("td", {}, description || schema?.description || ""));
}

function endpoint(path, method, about) {
  const rows = (about.parameters || []).map(row);
  const title = make("h2", {}, make("code", {}, `${method.toUpperCase()} ${decodeURI(new URL(at(`.${path}`)).pathname)}`), about.summary);
  const table = rows.length ? [make("table", {}, make("tbody", {}, ...rows))] : [];
  return make("section", { className: "endpoint" }, title, make("p", { className: "faint" }, about.description || ""), ...table);
}

try {
  const schema = await get("api/openapi.json");
  $("about").textContent = schema.info.description;
  const all = Object.entries(schema.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, about]) => endpoint(path, method, about)));
  $("endpoints").replaceChildren(...all);
} catch (error) {
  $("about").textContent = `${error.message}. ${error.hint || ""}`;
}
