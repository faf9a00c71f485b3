import { AvroMutationDecoder, type WriterSchemas } from './avro-mutation-decoder.ts';
import { JsonMutationDecoder } from './json-mutation-decoder.ts';
import type { DecodeStatus, MutationDecoder } from './mutation-decoder.ts';
import type { DatamartKey, MutationView } from './mutation.ts';

const OPEN_BRACE = 0x7b;

/** Decodes records of either encoding, told apart by the first byte of each. */
export class RecordDecoder implements MutationDecoder {
  detail = '';
  schemaId = -1;

  private readonly json = new JsonMutationDecoder();
  private readonly avro: AvroMutationDecoder;

  constructor(schemas: WriterSchemas) {
    this.avro = new AvroMutationDecoder(schemas);
  }

  decode(record: Buffer, into: MutationView, isWanted: (datamart: DatamartKey) => boolean): DecodeStatus {
    const decoder = this.decoderOf(record);
    if (decoder === null) {
      into.datamart = 0;
      this.schemaId = -1;
      this.detail =
        record.length === 0 ? 'the record is empty' : 'the record is neither Avro nor a JSON object';
      return 'malformed_envelope';
    }
    const status = decoder.decode(record, into, isWanted);
    this.detail = decoder.detail;
    this.schemaId = decoder.schemaId;
    return status;
  }

  private decoderOf(record: Buffer): MutationDecoder | null {
    for (let i = 0; i < record.length; i++) {
      const byte = record[i] as number;
      if (byte === OPEN_BRACE) return this.json;
      if (byte === 0 && i === 0) return this.avro;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return null;
    }
    return null;
  }
}
