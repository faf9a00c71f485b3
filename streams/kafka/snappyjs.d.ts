/** snappyjs brings no types. */
declare module 'snappyjs' {
  function compress(data: Uint8Array): Uint8Array;
  function uncompress(data: Uint8Array, maxLength?: number): Uint8Array;
  const snappy: { readonly compress: typeof compress; readonly uncompress: typeof uncompress };
  export default snappy;
}
