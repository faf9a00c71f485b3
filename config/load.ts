import convict from 'convict';
import { nearestName } from '../schemas/nearest-name.ts';
import { ConfigError } from './config-error.ts';
import { readProblem } from './read-problem.ts';
import { findContradictions } from './settings-checks.ts';
import { parseSettingsFile, type SettingsFile } from './settings-file.ts';
import { SETTINGS, settingsSchema, type SettingDefinition, type SettingValues } from './settings-schema.ts';
import { settingsOf, type Settings } from './settings.ts';

/** Where settings come from. */
export interface SettingSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The setting flags of the command line, by name without the dashes in front; `true` for a flag without value. */
  readonly flags: Readonly<Record<string, string | boolean>>;
  /** `--config`; goes before CONFIG_FILE. */
  readonly configFile?: string | undefined;
  /** Reads a file whole, as text. Throws when it can't. */
  readonly readFile: (path: string) => string;
}

/** A value as it was given, and by what. */
interface Given {
  readonly value: unknown;
  /** As error lines name it: `environment variable KAFKA_BROKERS`. */
  readonly source: string;
}

/**
 * Puts the settings together: defaults, then the file, then the environment, then flags; the last wins. An empty
 * variable and a null in the file are unset.
 *
 * Throws one `ConfigError` with every problem there is; its lines name the setting, where its value comes from and
 * what is allowed, and never hold a secret. Brokers that aren't set are no problem here.
 */
export function loadSettings(sources: SettingSources): Settings {
  return new SettingsLoader(sources).load();
}

/** The keys that the file may hold: every setting, and `<key>_file` for secrets. */
const FILE_KEYS: ReadonlySet<string> = new Set(
  SETTINGS.flatMap(({ key, isSecret }) => (isSecret ? [key, `${key}_file`] : [key])),
);

/** The flags there are, without dashes in front: every setting, and `<flag>-file` for secrets. */
export const SETTING_FLAGS: ReadonlySet<string> = new Set(
  SETTINGS.flatMap(({ flag, isSecret }) => (isSecret ? [flag, `${flag}-file`] : [flag])),
);

/** One run of `loadSettings`: collects problems instead of stopping at the first. */
class SettingsLoader {
  readonly #sources: SettingSources;
  readonly #problems: string[] = [];
  readonly #usedSources = new Map<string, string>();
  #file: SettingsFile = { values: new Map(), problems: [] };
  #filePath = '';

  constructor(sources: SettingSources) {
    this.#sources = sources;
  }

  load(): Settings {
    this.#openFile();
    this.#refuseUnknownFlags();
    const config = convict<SettingValues>(settingsSchema, { env: {}, args: [] });
    for (const definition of SETTINGS) {
      const value = this.#valueOf(definition);
      if (value !== undefined) config.set(definition.key, value);
    }
    config.validate({ allowed: 'strict' });
    const values = config.getProperties();
    for (const { keys, message } of findContradictions(values)) {
      this.#problems.push(`${keys.map((key) => this.#named(key)).join(', ')}: ${message}`);
    }
    const settings = settingsOf(values, (path) => this.#read(path, `file ${path}`));
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
    return settings;
  }

  #openFile(): void {
    const { configFile, env } = this.#sources;
    const path = configFile ?? env.CONFIG_FILE ?? '';
    if (path === '') return;
    this.#filePath = path;
    const origin = configFile === undefined ? 'environment variable CONFIG_FILE' : 'flag --config';
    const text = this.#read(path, `file ${path} (${origin})`);
    if (text === null) return;
    this.#file = parseSettingsFile(text, path, FILE_KEYS);
    this.#problems.push(...this.#file.problems);
  }

  #refuseUnknownFlags(): void {
    for (const flag of Object.keys(this.#sources.flags)) {
      if (SETTING_FLAGS.has(flag)) continue;
      const nearest = nearestName(flag, SETTING_FLAGS);
      this.#problems.push(`--${flag} (flag): unknown${nearest ? `; did you mean --${nearest}?` : ''}`);
    }
  }

  /** The parsed value of a setting; undefined when the default stands, or when what was given is a problem. */
  #valueOf(definition: SettingDefinition): unknown {
    const given = this.#given(definition.key, definition.env, definition.flag);
    const path = definition.isSecret
      ? this.#given(`${definition.key}_file`, `${definition.env}_FILE`, `${definition.flag}-file`)
      : undefined;
    if (given && path) {
      this.#problems.push(
        `${definition.env} (${given.source}) and ${definition.env}_FILE (${path.source}): ` +
          'both are given; only one of them is allowed',
      );
      return undefined;
    }
    const used = path ? this.#secretOf(definition, path) : given;
    if (!used) return undefined;
    this.#usedSources.set(definition.key, used.source);
    const value = definition.reader.parse(used.value);
    if (value === undefined) {
      const shown = definition.isSecret ? 'the value (not shown)' : shownValue(used.value);
      this.#problems.push(
        `${definition.env} (${used.source}): ${shown} isn't allowed; allowed is ${definition.reader.allowed}`,
      );
    }
    return value;
  }

  #given(key: string, env: string, flag: string): Given | undefined {
    const { flags } = this.#sources;
    const byFlag = Object.hasOwn(flags, flag) ? flags[flag] : undefined;
    if (byFlag !== undefined) return { value: byFlag, source: `flag --${flag}` };
    const byEnv = this.#sources.env[env];
    if (byEnv !== undefined && byEnv !== '') return { value: byEnv, source: `environment variable ${env}` };
    const byFile = this.#file.values.get(key) ?? null;
    return byFile === null ? undefined : { value: byFile, source: `file ${this.#filePath}` };
  }

  #secretOf(definition: SettingDefinition, path: Given): Given | undefined {
    const name = `${definition.env}_FILE`;
    if (typeof path.value !== 'string' || path.value === '') {
      this.#problems.push(`${name} (${path.source}): allowed is a path`);
      return undefined;
    }
    const text = this.#read(path.value, `${name} (${path.source})`);
    return text === null ? undefined : { value: text.replace(/\r?\n$/, ''), source: `file ${path.value}` };
  }

  #read(path: string, name: string): string | null {
    try {
      return this.#sources.readFile(path);
    } catch (error) {
      this.#problems.push(`${name}: reading ${path}: ${readProblem(error)}; allowed is a readable file`);
      return null;
    }
  }

  #named(key: string): string {
    const env = SETTINGS.find((definition) => definition.key === key)?.env ?? key;
    return `${env} (${this.#usedSources.get(key) ?? 'default'})`;
  }
}

const SHOWN_CHARACTERS = 80;

/** A value as an error line shows it. What may hold a password in an address isn't shown. */
function shownValue(value: unknown): string {
  const json = JSON.stringify(value);
  if (json.includes('@')) return 'the value (not shown)';
  return json.length > SHOWN_CHARACTERS ? `${json.slice(0, SHOWN_CHARACTERS)}…` : json;
}
