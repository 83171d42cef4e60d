/* Lets xterm.js style itself under `style-src 'self'`: the policy refuses <style> elements and style
 * attributes that a script writes, but not style sheets and declarations made through the CSSOM. So
 * what a script makes as <style> is an element without meaning whose text goes to a constructed
 * style sheet, and a span's style attribute goes to its style. Loaded with the terminal. */

const create = document.createElement.bind(document);

function styleElement(): HTMLElement {
    const element = create('wos-style');
    const sheet = new CSSStyleSheet();
    element.hidden = true;
    Object.defineProperty(element, 'textContent', {
        set(text: string) {
            sheet.replaceSync(text);
            if (!document.adoptedStyleSheets.includes(sheet)) {
                document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
            }
        },
    });
    element.remove = () => {
        document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet);
        Element.prototype.remove.call(element);
    };
    return element;
}

document.createElement = ((name: string, options?: ElementCreationOptions) =>
    (name === 'style' ? styleElement() : create(name, options))) as typeof document.createElement;

HTMLSpanElement.prototype.setAttribute = function setAttribute(name: string, value: string) {
    if (name === 'style') {
        this.style.cssText = value;
    } else {
        Element.prototype.setAttribute.call(this, name, value);
    }
};
