export const checks = () => []; export async function runGateway() { return []; }
