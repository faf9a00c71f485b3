import { pathToFileURL } from 'node:url';
import { isJsonObject } from '../schemas/json-object.ts';
import type { SinkAdapter } from './sink.ts';

/** A module of `SINKS_MODULES` that can't be used; the message names the module and what is wrong with it. */
export class SinkModuleError extends Error {
  override readonly name = 'SinkModuleError';
  readonly specifier: string;

  constructor(specifier: string, reason: string, options: { readonly cause?: unknown } = {}) {
    super(`loading sink module ${specifier}: ${reason}`, options);
    this.specifier = specifier;
  }
}

const CREDENTIALS = ['required', 'optional', 'none'];

/**
 * Loads a third party's adapter: the module's export `sinkAdapter`. A path (`./…`, `../…`, `/…`) is taken from the
 * working directory, anything else is a package's name. Rejects with a `SinkModuleError`.
 */
export async function loadSinkModule(specifier: string): Promise<SinkAdapter> {
  const module = await importModule(specifier);
  const adapter: unknown = isJsonObject(module) ? module['sinkAdapter'] : undefined;
  if (adapter === undefined) throw new SinkModuleError(specifier, 'it has no export named sinkAdapter');
  const problem = adapterProblem(adapter);
  if (problem !== null) throw new SinkModuleError(specifier, `sinkAdapter${problem}`);
  // Checked above, field by field.
  return adapter as SinkAdapter;
}

async function importModule(specifier: string): Promise<unknown> {
  const isPath = /^(\.{1,2})?\//.test(specifier);
  const target = isPath ? new URL(specifier, pathToFileURL(`${process.cwd()}/`)).href : specifier;
  try {
    const module: unknown = await import(target);
    return module;
  } catch (error) {
    throw new SinkModuleError(specifier, error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}

/** What keeps `adapter` from being a `SinkAdapter`, to be put behind its name; null when nothing does. */
function adapterProblem(adapter: unknown): string | null {
  if (!isJsonObject(adapter)) return ' is not an object';
  const { type, versions, fields, options, credentials, exclusive, costs } = adapter;
  if (typeof type !== 'string') return '.type is not a string';
  const hasVersions =
    Array.isArray(versions) && versions.length > 0 && versions.every((v) => v === 1 || v === 2);
  if (!hasVersions) return '.versions is not a list of 1 and 2';
  const hasFields = Array.isArray(fields) && fields.every((name) => typeof name === 'string');
  if (!hasFields) return '.fields is not a list of names';
  if (!isJsonObject(options)) return '.options is not an object';
  if (typeof options['messageId'] !== 'boolean') return '.options.messageId is not true or false';
  if (options['ordering'] !== null && typeof options['ordering'] !== 'boolean') {
    return '.options.ordering is not true, false or null';
  }
  if (typeof options['orderingLanes'] !== 'boolean') return '.options.orderingLanes is not true or false';
  if (typeof credentials !== 'string' || !CREDENTIALS.includes(credentials)) {
    return `.credentials is none of ${CREDENTIALS.join(', ')}`;
  }
  if (exclusive !== undefined && !isExclusive(exclusive)) return '.exclusive is not {field, value(config)}';
  if (costs !== undefined && typeof costs !== 'function') return '.costs is not a function';
  const missing = ['parseConfig', 'checkCredentials', 'open'].find(
    (name) => typeof adapter[name] !== 'function',
  );
  return missing === undefined ? null : `.${missing} is not a function`;
}

function isExclusive(value: unknown): boolean {
  return isJsonObject(value) && typeof value['field'] === 'string' && typeof value['value'] === 'function';
}
