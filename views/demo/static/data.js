/** What the server tells this page's scripts. */
export const data = JSON.parse(document.getElementById('page-data').textContent);

export const text = (key) => key.split('.').reduce((at, name) => at?.[name], data.strings) ?? key;
