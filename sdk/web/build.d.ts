export function bundle(): Promise<Record<'heyi.js' | 'heyi.global.js', string>>;
