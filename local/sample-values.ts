import type { DocumentType } from '../schemas/document-type.ts';
import type { SeededRandom } from './random.ts';

/** JSON with integers of any size. */
type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [name: string]: Json };

const FIRST_NAMES = ['Zoë', 'José', '美咲', 'Ольга', 'Amélie', 'Jürgen', 'Nguyễn', 'Éva'] as const;
const CITIES = ['Besançon', 'Köln', 'Αθήνα', '東京', 'São Paulo', 'Łódź'] as const;
const PAGES = ['/', '/produits/été', '/panier', '/compte?tab=fidélité', '/recherche?q=%F0%9F%8E%81'] as const;
const PADDING = Buffer.from(
  'Lorem ipsum dolor sit amet, ça déjà là, Größe 42, 数据, 🎁 für alle; '.repeat(32),
);

/**
 * The text of a plausible `value` for a document: `$` keys and custom ones, nested objects, nulls, numbers beyond 2^53,
 * unicode; about `targetBytes` long. Null for documents that are all in their id.
 */
export function sampleValue(
  docType: DocumentType,
  random: SeededRandom,
  ts: number,
  targetBytes: number,
): string | null {
  const value = valueOf(docType, random, ts);
  return value === null ? null : padded(jsonText(value), targetBytes);
}

function valueOf(docType: DocumentType, random: SeededRandom, ts: number): Json {
  switch (docType) {
    case 'UserActivity':
      return activity(random, ts);
    case 'UserProfile':
      return profile(random, ts);
    case 'UserSegment':
      return {
        expiration_ts: null,
        last_modified_ts: ts,
        data_bag: { score: random.below(1000) / 1000, reason: null },
      };
    case 'UserDevicePoint':
    case 'UserAgent':
      return device(random, ts);
    case 'UserEmail':
      return { last_activity_ts: ts, operator: null, verified: random.chance(0.5) };
    case 'UserPoint':
    case 'UserAccount':
    case 'UserDeviceTechnicalId':
    case 'UserPointParent':
      return null;
  }
}

function activity(random: SeededRandom, ts: number): Json {
  return {
    $type: random.pick(['SITE_VISIT', 'APP_VISIT', 'EMAIL']),
    $ts: ts,
    $session_status: 'CLOSED_SESSION',
    $site_id: String(2000 + random.below(100)),
    $session_duration: random.below(3600),
    $location: {
      $country: 'FR',
      $city: random.pick(CITIES),
      $latitude: 47.2378,
      $longitude: 6.0241,
      $region: null,
    },
    $events: [
      {
        $event_name: '$page_view',
        $ts: ts,
        $properties: { $url: `https://shop.example${random.pick(PAGES)}`, $referrer: null },
      },
      {
        $event_name: 'add_to_cart',
        $ts: ts,
        $properties: {
          sku: random.hex(10),
          price: random.below(100_000) / 100,
          currency: '€',
          quantity: 1 + random.below(5),
        },
      },
    ],
    order_id: beyondSafeIntegers(random),
  };
}

function profile(random: SeededRandom, ts: number): Json {
  return {
    $last_modified_ts: ts,
    first_name: random.pick(FIRST_NAMES),
    city: random.pick(CITIES),
    birth_date: null,
    loyalty: {
      card: beyondSafeIntegers(random),
      points: random.below(10_000),
      tier: random.pick(['🥉', '🥈', '🥇']),
    },
    interests: ['vélo', 'cinéma', 'пение'].slice(random.below(3)),
  };
}

function device(random: SeededRandom, ts: number): Json {
  return {
    $creation_ts: ts,
    device: {
      form_factor: random.pick(['SMARTPHONE', 'TABLET', 'PERSONAL_COMPUTER']),
      brand: null,
      model: null,
    },
    os: {
      family: random.pick(['ANDROID', 'IOS', 'WINDOWS', 'LINUX']),
      version: String(10 + random.below(8)),
    },
    browser: { family: random.pick(['CHROME', 'FIREFOX', 'SAFARI']), version: `${100 + random.below(40)}.0` },
  };
}

/** A number that a double can't hold: it has to arrive digit by digit. */
function beyondSafeIntegers(random: SeededRandom): bigint {
  return 9_007_199_254_740_993n + 2n * BigInt(random.uint32());
}

/** `JSON.stringify` with big integers. */
function jsonText(value: Json): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  const entries = Object.entries(value as Readonly<Record<string, Json>>);
  return `{${entries.map(([name, inner]) => `${JSON.stringify(name)}:${jsonText(inner)}`).join(',')}}`;
}

/** Adds a field of text to an object's JSON until it is about so many bytes long. */
function padded(json: string, targetBytes: number): string {
  const field = ',"notes":""';
  const missing = targetBytes - Buffer.byteLength(json) - field.length;
  if (missing <= 0) return json;
  const repeats = Math.floor(missing / PADDING.length);
  let end = missing - repeats * PADDING.length;
  // Not in the middle of a character.
  while (((PADDING[end] ?? 0) & 0xc0) === 0x80) end--;
  const text = PADDING.toString().repeat(repeats) + PADDING.toString('utf8', 0, end);
  return `${json.slice(0, -1)},"notes":"${text}"}`;
}
