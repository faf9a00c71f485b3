import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ApiError } from '../../../../api/api-error.ts';
import { planReplications } from '../../../../commands/replications/apply-plan.ts';
import { runApply, type ApplyOptions } from '../../../../commands/replications/apply.ts';
import { parseDesiredReplications } from '../../../../commands/replications/desired-file.ts';
import { runExport } from '../../../../commands/replications/export.ts';
import type { Confirm, ReplicationsSession } from '../../../../commands/replications/session.ts';
import { FILTER_NAMES } from '../../../../schemas/document-type.ts';
import { MemoryReplications } from '../../../support/memory-replications.ts';
import { RecordedOutput } from '../../../support/recorded-output.ts';

let replications: MemoryReplications;
let out: RecordedOutput;
let errors: RecordedOutput;
let stop: AbortController;

beforeEach(() => {
  replications = new MemoryReplications();
  out = new RecordedOutput();
  errors = new RecordedOutput();
  stop = new AbortController();
});

function session({ isJson = false, datamartId = null as string | null } = {}): ReplicationsSession {
  return {
    operations: replications,
    caller: { name: 'test', role: 'operator' },
    datamartId,
    flagsText: '',
    isJson,
    out,
    errors,
    signal: stop.signal,
    now: () => 0,
    sleep: async () => undefined,
  };
}

interface Given extends Partial<ApplyOptions> {
  readonly confirm?: Confirm;
  readonly isJson?: boolean;
  readonly datamartId?: string;
  readonly readCredentials?: (path: string) => Promise<Buffer>;
}

async function apply(text: string, given: Given = {}): Promise<number> {
  const { isDryRun = false, prunes = false, uploadsCredentials = false, confirm = null } = given;
  const { isJson = false, datamartId = null } = given;
  const desired = parseDesiredReplications({ text, source: 'r.yaml', path: '/etc/r.yaml' }, datamartId);
  return runApply(desired, { isDryRun, prunes, uploadsCredentials }, session({ isJson, datamartId }), {
    confirm,
    readCredentials: given.readCredentials ?? (async (path) => Buffer.from(`key of ${path}`)),
  });
}

const NEW = `
datamart_id: 1649
name: to acme
type: GOOGLE_PUBSUB
project_id: acme
topic_id: users
status: ACTIVE
credentials_file: keys/acme.json
replication_filters: [{document: USER_SEGMENT}]
`;

describe('a replication that is not there', () => {
  test('is created, gets its credentials and is activated, in this order', async () => {
    expect(await apply(NEW)).toBe(0);

    expect(replications.writes).toEqual([
      'create to acme',
      'credentials r1',
      'update r1 {"status":"ACTIVE"}',
    ]);
    expect(replications.credentials.get('r1')).toBe('key of /etc/keys/acme.json');
    expect(out.text).toContain('+ create "to acme" of datamart 1649, GOOGLE_PUBSUB\n');
    expect(out.text).toContain('activates: the destination is checked');
    expect(out.text).toContain('created r1 "to acme"');
  });

  test('is there the second time: nothing to do', async () => {
    await apply(NEW);
    replications.calls.length = 0;
    out.text = '';

    expect(await apply(NEW)).toBe(0);
    expect(out.text).toBe('nothing to do: 1 unchanged\n');
    expect(replications.writes).toEqual([]);
  });

  test('that was created and then failed goes on the next time', async () => {
    replications.beforeWrite = (call) => {
      if (call.startsWith('credentials')) throw new ApiError('invalid_private_key', 'private_key is no PEM');
    };

    expect(await apply(NEW)).toBe(1);
    expect(errors.text).toContain(
      'create r1 "to acme": it was created, and is PAUSED; then: private_key is no PEM',
    );

    replications.beforeWrite = () => undefined;
    expect(await apply(NEW)).toBe(0);
    expect(replications.replications.get('r1')).toMatchObject({
      status: 'ACTIVE',
      credentials_uri: 'sealed:r1',
    });
  });

  test('with an id is refused: an id is given, not chosen', async () => {
    expect(await apply('{id: 80, datamart_id: 1649, type: FILE, path: a}')).toBe(1);
    expect(out.text).toContain('! refused 80: datamart 1649 has no replication 80 (not_found, id)');
    expect(errors.text).toBe('nothing was changed\n');
  });
});

describe('a replication that differs', () => {
  beforeEach(() => {
    replications.put(
      { type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users', name: 'a', status: 'ACTIVE' },
      '80',
    );
  });

  test('is changed in what differs, each with its effect in words', async () => {
    expect(await apply('{id: 80, datamart_id: 1649, status: PAUSED, name: b, ordering: null}')).toBe(0);

    expect(out.text).toContain('name: a → b  (only the name)');
    expect(out.text).toContain('status: ACTIVE → PAUSED  (pauses: what comes meanwhile is not sent)');
    expect(replications.writes).toEqual(['update 80 {"name":"b","status":"PAUSED"}']);
  });

  test.each([
    ['WHERE_STOPPED', 'what came meanwhile is sent first'],
    ['NOW', 'goes on from now, what came meanwhile is not sent)'],
    ['null', 'after an ERROR it goes on where it stopped'],
  ])('and is activated with resume %s: %s', async (resume, words) => {
    replications.put({ type: 'FILE', path: 'a' }, '90');

    await apply(`{id: 90, datamart_id: 1649, status: ACTIVE, resume: ${resume}}`, { isDryRun: true });

    expect(out.text).toContain(words);
    expect(replications.writes).toEqual([]);
  });

  test.each([
    ['topic_id: other', 'immutable_field'],
    ['type: FILE', 'immutable_field'],
    ['version: 1', 'immutable_field'],
    ['endpoint: eu-pubsub.googleapis.com', 'immutable_field'],
    ['replication_filters: [{document: USER_EMAIL}]', 'filters_immutable'],
    ['replication_filters: [{document: USER_EMAIL, filter: x}]', 'filters_immutable'],
    ['event_hub_name: x', 'field_not_applicable'],
    ['topic_idd: x', 'unknown_field'],
  ])('in %s is refused with %s, and everything else with it', async (field, code) => {
    const others = 'datamart_id: 1649\nname: other\ntype: FILE\npath: a\n';

    expect(await apply(`${others}---\nid: 80\ndatamart_id: 1649\n${field}\n`)).toBe(1);
    expect(out.text).toContain(`(${code}, ${field.slice(0, field.indexOf(':'))})`);
    expect(errors.text).toBe('nothing was changed\n');
    expect(replications.writes).toEqual([]);
  });

  test('only in that it is in ERROR is as it should be: applying is no retry', async () => {
    replications.observe('80', { state: 'ERROR' });

    expect(await apply('{id: 80, datamart_id: 1649, status: ACTIVE}')).toBe(0);
    expect(out.text).toBe('nothing to do: 1 unchanged\n');
  });

  test('and was changed by somebody else while it asked is left alone', async () => {
    const confirm = async (): Promise<boolean> => {
      replications.put(
        { type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users', name: 'theirs' },
        '80',
      );
      return true;
    };

    expect(await apply('{id: 80, datamart_id: 1649, name: mine}', { confirm })).toBe(1);
    expect(errors.text).toContain('precondition_failed');
    expect(replications.replications.get('80')?.name).toBe('theirs');
  });

  test('gets credentials that it lacks, and others only when asked', async () => {
    const text = '{id: 80, datamart_id: 1649, credentials_file: /keys/a.json}';

    await apply(text);
    await apply(text);
    expect(replications.writes).toEqual(['credentials 80']);

    await apply(text, { uploadsCredentials: true });
    expect(replications.writes).toEqual(['credentials 80', 'credentials 80']);
  });

  test('is not touched when a file of credentials can’t be read', async () => {
    const readCredentials = async (): Promise<Buffer> => Promise.reject(new Error('no such file'));
    const text = '[{id: 80, datamart_id: 1649, name: b}, {datamart_id: 1649, name: n, credentials_file: x}]';

    await expect(apply(text, { readCredentials })).rejects.toThrow('no such file');
    expect(replications.writes).toEqual([]);
  });
});

describe('asking', () => {
  beforeEach(() => {
    for (const id of ['1', '2', '3']) replications.put({ type: 'FILE', path: id, name: `n${id}` }, id);
    replications.put({ type: 'FILE', path: 'x', datamart_id: '7' }, '9');
  });

  const CHANGE = '[{id: 1, datamart_id: 1649, name: new}]';

  test('a no changes nothing', async () => {
    expect(await apply(CHANGE, { confirm: async () => false })).toBe(1);
    expect(replications.writes).toEqual([]);
    expect(errors.text).toBe('nothing was changed\n');
  });

  test('what --prune deletes is asked for apart, by name, and only within the datamarts of the file', async () => {
    const questions: string[] = [];
    const confirm = async (question: string): Promise<boolean> => {
      questions.push(question);
      return true;
    };

    expect(await apply(CHANGE, { prunes: true, confirm })).toBe(0);

    expect(questions).toEqual(['apply (1 to change)?', 'delete 2: 3 "n3", 2 "n2"?']);
    expect(out.text).toContain('- delete 3 "n3" of datamart 1649: nothing further is sent');
    expect(replications.writes).toEqual(['update 1 {"name":"new"}', 'delete 3', 'delete 2']);
  });

  test('a no to the deletions leaves the other changes', async () => {
    const confirm = async (question: string): Promise<boolean> => !question.startsWith('delete');

    expect(await apply(CHANGE, { prunes: true, confirm })).toBe(0);
    expect(replications.writes).toEqual(['update 1 {"name":"new"}']);
  });

  test('without --prune nothing is deleted', async () => {
    await apply(CHANGE);

    expect(replications.replications.size).toBe(4);
  });

  test('an empty list deletes all of the datamart that --datamart-id names, and of no other', async () => {
    await apply('replications: []', { prunes: true, datamartId: '1649' });

    expect([...replications.replications.keys()]).toEqual(['9']);
  });
});

test('stops at the first change that fails, and says what was applied and what was not', async () => {
  for (const id of ['1', '2', '3']) replications.put({ type: 'FILE', path: id }, id);
  replications.beforeWrite = (call) => {
    if (call.startsWith('update 2')) throw new ApiError('sync_in_progress', 'a sync runs', { hint: 'wait' });
  };
  const text = '[1, 2, 3]'.replace(/\d/g, (id) => `{id: ${id}, datamart_id: 1649, name: new}`);

  expect(await apply(text)).toBe(1);
  expect(out.text).toContain('changed 1');
  expect(errors.text).toBe(
    'change 2 "2": a sync runs (sync_in_progress)\n  wait\napplied: 1 of 3\nnot applied: 3 "3"\n',
  );

  out.text = errors.text = '';
  expect(await apply(text, { isJson: true })).toBe(1);
  expect(JSON.parse(out.text)).toMatchObject({
    status: 'error',
    steps: [{ result: 'nothing_to_do' }, { action: 'change', result: 'failed' }, { result: 'not_done' }],
  });
  expect(JSON.parse(errors.text)).toEqual({
    code: 'sync_in_progress',
    message: 'a sync runs',
    field: null,
    hint: 'wait',
  });
});

test('Ctrl-C ends it between two changes, and says what was not applied', async () => {
  for (const id of ['1', '2']) replications.put({ type: 'FILE', path: id }, id);
  replications.beforeWrite = () => {
    stop.abort();
  };

  expect(await apply('[{id: 1, datamart_id: 1649, name: x}, {id: 2, datamart_id: 1649, name: y}]')).toBe(1);
  expect(errors.text).toBe(
    'stopped before everything was applied (stopped)\napplied: 1 of 2\nnot applied: 2 "2"\n',
  );
});

describe('the file', () => {
  const parse = (text: string, datamartId: string | null = null) =>
    parseDesiredReplications({ text, source: 'r.yaml', path: null }, datamartId);
  const one = { datamartId: '1649', id: '80' };

  test.each([
    ['one document', 'id: 80\ndatamart_id: 1649'],
    ['JSON, indented by tabs', '{\n\t"id": "80",\n\t"datamart_id": "1649"\n}'],
    ['a list', '- {id: 80, datamart_id: 1649}'],
    ['a list by name', 'replications:\n  - {id: 80, datamart_id: 1649}'],
    ['several documents, also empty ones', '---\n---\nid: 80\ndatamart_id: 1649\n---\n'],
  ])('may be %s', (_, text) => {
    expect(parse(text)).toEqual([expect.objectContaining(one)]);
  });

  test('keeps ids that no number can hold', () => {
    expect(parse('{id: 1234567890123456789, datamart_id: 9223372036854775807}')[0]).toMatchObject({
      id: '1234567890123456789',
      datamartId: '9223372036854775807',
    });
  });

  test.each([
    ['id: 80', 'replication 1: datamart_id is missing'],
    ['datamart_id: 1649', 'replication 1: has neither id nor name'],
    ['5', 'replication 1: has to be a replication'],
    ['{id: {}, datamart_id: 1}', 'id has to be a text'],
    ['{id: 1, datamart_id: 1, status: RUNNING}', 'status must be ACTIVE or PAUSED'],
    ['{id: 1, datamart_id: 1, credentials_file: a, credentials_uri: "file:b"}', 'exclude each other'],
    ['[{id: 1, datamart_id: 1}, {id: 1, datamart_id: 1}]', 'replication 2: is the same as replication 1'],
    ['[{name: a, datamart_id: 1}, {name: a, datamart_id: 1}]', 'is the same as'],
    ['{a: [', "r.yaml: isn't valid JSON or YAML (line 1"],
    ['a: !secret x', "r.yaml: isn't valid JSON or YAML (line 1"],
  ])('%s is told: %s', (text, expected) => {
    expect(() => parse(text)).toThrow(expected);
  });

  test('of another datamart than --datamart-id is told', () => {
    expect(() => parse('{id: 1, datamart_id: 2}', '3')).toThrow('is of datamart 2, and --datamart-id says 3');
    expect(parse('{id: 1}', '3')[0]?.datamartId).toBe('3');
  });

  test('that names one replication by id and by name is refused', () => {
    const current = [replications.put({ type: 'FILE', path: 'a', name: 'n' }, '80')];
    const desired = parse('[{id: 80, datamart_id: 1649}, {name: n, datamart_id: 1649}]');

    const steps = planReplications(desired, current, { prunes: false, uploadsCredentials: false });

    expect(steps.map(({ action }) => action)).toEqual(['unchanged', 'refused']);
  });

  test('that names a name which two have is refused', () => {
    const current = ['1', '2'].map((id) => replications.put({ type: 'FILE', path: id, name: 'n' }, id));

    const [step] = planReplications(parse('{name: n, datamart_id: 1649}'), current, {
      prunes: false,
      uploadsCredentials: false,
    });

    expect(step).toMatchObject({ action: 'refused', problem: { hint: 'give the id' } });
  });
});

const OPTIONS = fc.record(
  {
    status: fc.constantFrom('ACTIVE', 'PAUSED', null),
    resume: fc.constantFrom('NOW', 'WHERE_STOPPED', null),
    replication_filters: fc.option(
      fc.array(fc.record({ document: fc.constantFrom(...FILTER_NAMES) }), { minLength: 1, maxLength: 4 }),
    ),
  },
  { requiredKeys: [] },
);
const LANES = fc.record(
  { metadata: fc.constantFrom([], ['message_id'], null), ordering_lanes: fc.constantFrom(1, 16, null) },
  { requiredKeys: [] },
);
const ORDERING = fc.record({ ordering: fc.constantFrom(true, false, null) }, { requiredKeys: [] });
const DESTINATIONS = fc.oneof(
  fc.tuple(fc.constant({ type: 'FILE', path: 'a' })),
  fc.tuple(fc.constant({ type: 'KAFKA_TOPIC', topic: 't', version: 1 }), LANES),
  fc.tuple(fc.constant({ type: 'AZURE_EVENT_HUBS', event_hub_name: 'h' }), LANES, ORDERING),
  fc.tuple(fc.constant({ type: 'GOOGLE_PUBSUB', project_id: 'p', topic_id: 'ttt' }), LANES, ORDERING),
);
const REPLICATIONS = fc.uniqueArray(
  fc.record({
    datamart_id: fc.constantFrom('1', '1649'),
    name: fc.oneof(
      fc.constantFrom('a', 'yes', '007', 'null', '# x', ' y: "z" '),
      fc.string({ minLength: 1 }),
    ),
    fields: fc
      .tuple(DESTINATIONS, OPTIONS)
      .map(([parts, options]) => ({ ...parts[0], ...parts[1], ...parts[2], ...options })),
  }),
  { selector: ({ datamart_id, name }) => `${datamart_id} ${name}`, maxLength: 6 },
);

test('applied once, whatever it is, there is nothing to do; nor with what is exported then', async () => {
  await fc.assert(
    fc.asyncProperty(REPLICATIONS, fc.boolean(), async (wanted, isJson) => {
      replications = new MemoryReplications();
      const text = JSON.stringify(wanted.map(({ fields, ...one }) => ({ ...one, ...fields })));
      if (wanted.length > 0) expect(await apply(text, { prunes: true })).toBe(0);
      replications.calls.length = 0;

      out.text = '';
      expect(await apply(text, { prunes: true })).toBe(0);
      expect(out.text).toMatch(/^nothing to do/);

      out.text = '';
      await runExport(session({ isJson }));
      const exported = out.text;
      out.text = '';
      expect(await apply(exported, { prunes: true })).toBe(0);
      expect(out.text).toMatch(/^nothing to do/);
      expect(replications.writes).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('what is exported holds no observed state and no sealed credentials', async () => {
  replications.put(
    {
      type: 'GOOGLE_PUBSUB',
      project_id: 'acme',
      topic_id: 'users',
      name: 'a',
      credentials_uri: 'sealed:80',
      status: 'ACTIVE',
    },
    '80',
  );
  replications.observe('80', { state: 'ERROR', message: 'denied' });

  await runExport(session({ datamartId: '1649' }));

  expect(out.text).toBe(
    [
      'replications:',
      '  - id: "80"',
      '    datamart_id: "1649"',
      '    name: a',
      '    type: GOOGLE_PUBSUB',
      '    version: 2',
      '    status: ACTIVE',
      '    replication_filters: null',
      '    project_id: acme',
      '    topic_id: users',
      '    resume: null',
      '    metadata: []',
      '    user_point_parent: false',
      '    ordering: false',
      '    ordering_lanes: 16',
      '',
    ].join('\n'),
  );
});
