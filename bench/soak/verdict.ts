/** What must hold, how often it was looked at, and where it did not hold. */
export class Verdict {
  readonly #checks = new Map<string, { looks: number; failures: string[] }>();

  /** Looks once at whether something holds; `words` says what was found where it does not. */
  expect(invariant: string, holds: boolean, words: () => string): void {
    const check = this.#check(invariant);
    check.looks++;
    if (!holds) check.failures.push(words());
  }

  /** Counts what was looked at elsewhere; where it did not hold is told by `expect`. */
  passed(invariant: string, looks: number): void {
    this.#check(invariant).looks += looks;
  }

  #check(invariant: string): { looks: number; failures: string[] } {
    const check = this.#checks.get(invariant) ?? { looks: 0, failures: [] };
    this.#checks.set(invariant, check);
    return check;
  }

  get holds(): boolean {
    return this.failures.length === 0;
  }

  /** Every failure as `invariant: what was found`. */
  get failures(): string[] {
    return [...this.#checks].flatMap(([invariant, { failures }]) => failures.map((words) => `${invariant}: ${words}`));
  }

  get lines(): string[] {
    return [...this.#checks].flatMap(([invariant, { looks, failures }]) => [
      `${failures.length === 0 ? "PASS" : "FAIL"}  ${invariant} (${looks} looked at)`,
      ...failures.slice(0, 5).map((words) => `        ${words}`),
      ...(failures.length > 5 ? [`        and ${failures.length - 5} more`] : []),
    ]);
  }
}
