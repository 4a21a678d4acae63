// Talking to the server: JSON in, errors that say what to do, and a second try when it is busy.

import { at } from "./dom.js";

const TRIES = 3;

export class ApiError extends Error {
  constructor(status, detail, hint) {
    super(detail);
    this.status = status;
    this.hint = hint;
  }
}

export function address(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return at(query ? `${path}?${query}` : path);
}

export async function get(path, parameters = {}, signal = undefined) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask(address(path, parameters), signal);
    if (answer.ok) return answer.json();
    if (answer.status === 429 && attempt < TRIES) {
      await pause(Number(answer.headers.get("Retry-After") || 1), signal);
      continue;
    }
    throw await problem(answer);
  }
}

/** Make an error of an answer; without a session, go and log in. */
export async function problem(answer) {
  if (answer.status === 401) location.assign(at(`login${location.search}`));
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // no JSON: a proxy in between, say
  }
  return new ApiError(answer.status, told.detail || `the server answered ${answer.status}`, told.hint || "try again");
}

async function ask(url, signal) {
  try {
    return await fetch(url, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer", "check that mmpt serve is still running, and try again");
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("given up", "AbortError"));
    });
  });
}
