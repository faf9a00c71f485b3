/** Something that is served under a path, whose `:names` stand for any segment. */
export interface ServedPath {
  readonly method: string;
  readonly path: string;
}

/** The methods that a path takes, for the header Allow; empty when nothing is there. */
export function allowedMethods(url: string, served: readonly ServedPath[]): readonly string[] {
  const [path = ''] = url.split('?');
  const segments = path.split('/');
  const methods = served
    .filter((each) => isAt(each.path.split('/'), segments))
    .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return [...new Set(methods)];
}

function isAt(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, i) => part === segments[i] || (part.startsWith(':') && segments[i] !== ''))
  );
}
