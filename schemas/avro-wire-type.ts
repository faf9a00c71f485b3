import avsc, { type Type } from 'avsc';

/** What a writer's type looks like on the wire, one object per type; a recursive type refers to itself. */
export interface WireType {
  readonly kind: WireKind;
  /** Bytes of a fixed, or the number of an enum's symbols. */
  readonly size: number;
  readonly symbols: readonly string[];
  /** A record's fields in order. */
  readonly fields: readonly { readonly name: string; readonly type: WireType }[];
  /** A union's branches, or the one type of an array's items or a map's values. */
  readonly branches: readonly WireType[];
}

export type WireKind =
  | 'null'
  | 'boolean'
  | 'varint'
  | 'float'
  | 'double'
  | 'bytes'
  | 'string'
  | 'fixed'
  | 'enum'
  | 'array'
  | 'map'
  | 'record'
  | 'union';

const PRIMITIVES: Readonly<Record<string, WireKind>> = {
  null: 'null',
  boolean: 'boolean',
  int: 'varint',
  long: 'varint',
  float: 'float',
  double: 'double',
  bytes: 'bytes',
  string: 'string',
};

/** The wire type of a parsed Avro type. Logical types count as what they stand on. */
export function wireTypeOf(type: Type, known: Map<Type, WireType> = new Map()): WireType {
  const seen = known.get(type);
  if (seen !== undefined) return seen;
  if (type instanceof avsc.types.LogicalType) return wireTypeOf(type.underlyingType, known);
  const wire = { kind: 'null', size: 0, symbols: [] as string[], fields: [], branches: [] } as {
    -readonly [Key in keyof WireType]: WireType[Key];
  };
  known.set(type, wire);
  const of = (inner: Type): WireType => wireTypeOf(inner, known);
  if (type instanceof avsc.types.RecordType) {
    wire.kind = 'record';
    wire.fields = type.fields.map((field) => ({ name: field.name, type: of(field.type) }));
  } else if (type instanceof avsc.types.EnumType) {
    wire.kind = 'enum';
    wire.symbols = type.symbols;
    wire.size = type.symbols.length;
  } else if (type instanceof avsc.types.FixedType) {
    wire.kind = 'fixed';
    wire.size = type.size;
  } else if (type instanceof avsc.types.ArrayType) {
    wire.kind = 'array';
    wire.branches = [of(type.itemsType)];
  } else if (type instanceof avsc.types.MapType) {
    wire.kind = 'map';
    wire.branches = [of(type.valuesType as Type)];
  } else if (type instanceof avsc.types.WrappedUnionType || type instanceof avsc.types.UnwrappedUnionType) {
    wire.kind = 'union';
    wire.branches = type.types.map(of);
  } else {
    const kind = PRIMITIVES[type.typeName];
    if (kind === undefined) throw new Error(`reading a schema: type ${type.typeName} isn't known`);
    wire.kind = kind;
  }
  return wire;
}

/** Whether values of the type take no bytes, so that a count of them may be any number. */
export function isEmptyOnWire(type: WireType, within: ReadonlySet<WireType> = new Set()): boolean {
  if (within.has(type)) return false;
  if (type.kind === 'null') return true;
  if (type.kind === 'fixed') return type.size === 0;
  if (type.kind !== 'record') return false;
  const inner = new Set(within).add(type);
  return type.fields.every((field) => isEmptyOnWire(field.type, inner));
}
