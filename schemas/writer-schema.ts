import avsc, { type Type } from 'avsc';
import { wireTypeOf, type WireKind, type WireType } from './avro-wire-type.ts';
import {
  DATAMART_ID,
  DOC_TYPE,
  docTypeOf,
  FIELD_NAMES,
  NONE,
  OP,
  operationOf,
  TS,
  USER_POINT_ID,
} from './mutation-fields.ts';

/** One kind of value that a writer may have put into a field of a mutation. */
export interface FieldBranch {
  readonly kind: 'null' | 'string' | 'varint' | 'enum';
  /** Of an enum: what each symbol means, as `operationOf` and `docTypeOf` say it. */
  readonly codes: readonly number[];
}

/** How to read or pass over one field of the writer's record. */
export interface FieldStep {
  /** The field's number (mutation-fields.ts), or `NONE` for a field to pass over. */
  readonly field: number;
  readonly type: WireType;
  readonly isUnion: boolean;
  /** The branches of the union, or the type itself; empty for a field to pass over. */
  readonly branches: readonly FieldBranch[];
}

/** A writer's schema, compiled: the steps to take, or why its records can't be read. */
export interface WriterSchema {
  readonly steps: readonly FieldStep[];
  /** In words; empty when the schema is good. */
  readonly problem: string;
}

const REQUIRED = [DATAMART_ID, USER_POINT_ID, TS, OP, DOC_TYPE];

/**
 * Compiles a writer's schema. Fields are matched by name, whatever the record is called; of a known field every
 * branch must be of a kind that the field can be read from. `references` are the texts of the schemas that define the
 * names it uses, in an order in which each uses only earlier ones. Never throws.
 */
export function compileWriterSchema(text: string, references: readonly string[] = []): WriterSchema {
  try {
    const registry: Record<string, Type> = {};
    for (const reference of references) parseSchema(reference, registry);
    return compile(wireTypeOf(parseSchema(text, registry)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { steps: [], problem: `the writer schema isn't readable: ${reason}` };
  }
}

function parseSchema(text: string, registry: Record<string, Type>): Type {
  return avsc.Type.forSchema(JSON.parse(text) as Parameters<typeof avsc.Type.forSchema>[0], {
    wrapUnions: true,
    registry,
  });
}

function compile(type: WireType): WriterSchema {
  if (type.kind !== 'record') return { steps: [], problem: 'the writer schema is no record' };
  const steps = type.fields.map((field) => stepOf(field.name, field.type));
  const unusable = steps.find((step) => step.field !== NONE && step.branches.length === 0);
  if (unusable !== undefined) {
    return { steps, problem: `the writer schema has an unusable type for ${FIELD_NAMES[unusable.field]}` };
  }
  const missing = REQUIRED.find((field) => !steps.some((step) => step.field === field));
  if (missing !== undefined) {
    return { steps, problem: `the writer schema has no field ${FIELD_NAMES[missing]}` };
  }
  return { steps, problem: '' };
}

function stepOf(name: string, type: WireType): FieldStep {
  const field = FIELD_NAMES.indexOf(name);
  const isUnion = type.kind === 'union';
  const wireBranches = isUnion ? type.branches : [type];
  const isUsable = field !== NONE && wireBranches.every(({ kind }) => isUsableFor(field, kind));
  const branches = isUsable ? wireBranches.map((branch) => branchOf(field, branch)) : [];
  return { field, type, isUnion, branches };
}

function isUsableFor(field: number, kind: WireKind): boolean {
  if (kind === 'null' || kind === 'string') return true;
  if (kind === 'varint') return field === DATAMART_ID || field === TS;
  return kind === 'enum' && (field === OP || field === DOC_TYPE);
}

function branchOf(field: number, { kind, symbols }: WireType): FieldBranch {
  const codeOf = field === OP ? operationOf : docTypeOf;
  const codes = symbols.map((symbol) => {
    const bytes = Buffer.from(symbol);
    return codeOf(bytes, 0, bytes.length);
  });
  return { kind: kind as FieldBranch['kind'], codes };
}
