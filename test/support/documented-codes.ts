import type { ApiUnderTest } from './api-under-test.ts';

interface Document {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, object>> }>>>
  >;
}

/** What the API has refused with a code that its document doesn't know for the call, as `METHOD route code`. */
export async function undocumentedRefusals(api: ApiUnderTest): Promise<readonly string[]> {
  const { body } = await api.call('GET', '/openapi.json', { token: null });
  const { paths } = body as unknown as Document;
  const refusals = api.log.lines.flatMap(({ fields: { error_id: id, method, route, code } }) =>
    id !== undefined && typeof route === 'string'
      ? [{ method: String(method), route, code: String(code) }]
      : [],
  );
  const undocumented = refusals.filter(({ method, route, code }) => {
    const item = paths[route.replaceAll(/:(\w+)/g, '{$1}')] ?? {};
    const operation = item[(method === 'HEAD' ? 'GET' : method).toLowerCase()];
    // The codes stand nowhere else in the responses as texts of their own.
    return !operation || !JSON.stringify(operation.responses).includes(`"${code}"`);
  });
  return [...new Set(undocumented.map(({ method, route, code }) => `${method} ${route} ${code}`))];
}
