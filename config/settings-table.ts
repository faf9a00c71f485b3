import { SETTINGS, type SettingDefinition } from './settings-schema.ts';

/** The table of docs/settings.md: one row each, in the schema's order. A test keeps document and schema the same. */
export function settingsTable(): string {
  const rows = SETTINGS.map(
    (setting) => `| \`${setting.env}\` | ${defaultOf(setting)} | ${setting.doc}; ${allowedOf(setting)} |`,
  );
  return ['| environment | default | meaning |', '| --- | --- | --- |', ...rows, ''].join('\n');
}

function defaultOf({ default: value }: SettingDefinition): string {
  if (value === null) return 'none';
  return `\`${Array.isArray(value) ? value.join(',') : JSON.stringify(value).replaceAll('"', '')}\``;
}

function allowedOf({ reader, isSecret, env }: SettingDefinition): string {
  return isSecret ? `${reader.allowed}. Or \`${env}_FILE\`` : reader.allowed;
}
